"""Imports the real lines in a folder of their own: lgpio leaves a pipe where it is imported."""

import contextlib
import importlib
import importlib.util
import tempfile

if importlib.util.find_spec("lgpio"):  # has no wheel for every Python
    with tempfile.TemporaryDirectory() as _folder, contextlib.chdir(_folder):
        importlib.import_module("node.board.lgpio_lines")
