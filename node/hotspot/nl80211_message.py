"""Gets pyroute2's nl80211 message class, and no more of pyroute2 than that.

The package's own __init__ loads the whole library: 9 MiB and half a second on a laptop, for a
table of attributes. So the package is entered without running its __init__, and forgotten again:
whoever imports pyroute2 later gets all of it.
"""

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

_PACKAGE = "pyroute2"
_MODULE = "pyroute2.netlink.nl80211"


def load() -> tuple[Any, type[Exception]]:
    """Return the class nl80211cmd, and the error that its decode() raises on garbage.

    Raises ModuleNotFoundError when pyroute2 is not installed.
    """
    if _PACKAGE in sys.modules:
        return _take(importlib.import_module(_MODULE))
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {_PACKAGE!r}", name=_PACKAGE)
    sys.modules[_PACKAGE] = importlib.util.module_from_spec(spec)
    try:
        return _take(importlib.import_module(_MODULE))
    finally:
        del sys.modules[_PACKAGE]


def _take(module: ModuleType) -> tuple[Any, type[Exception]]:
    errors = importlib.import_module("pyroute2.netlink.exceptions")
    return module.nl80211cmd, errors.NetlinkDecodeError
