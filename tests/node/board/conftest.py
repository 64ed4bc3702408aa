"""Imports the real lines in a folder of their own: lgpio leaves a pipe where it is imported."""

import contextlib
import importlib
import tempfile

with tempfile.TemporaryDirectory() as _folder, contextlib.chdir(_folder):
    importlib.import_module("node.board.gpiozero_lines")
