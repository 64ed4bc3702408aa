"""Loads a program that lies in a role, to call its functions without Ansible."""

import importlib.util
from pathlib import Path
from types import ModuleType


def load_program(file: Path) -> ModuleType:
    """Return the program in `file` as a module."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
