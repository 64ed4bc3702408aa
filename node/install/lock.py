"""Lets one installer at a time work on a node; a killed one leaves no lock behind."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from node.durable import make_directory
from node.install.errors import BusyError

_POLL_S = 0.2


@contextmanager
def held(lock: Path, *, wait_s: float = 0.0) -> Iterator[None]:
    """Hold `lock` (flock(2)). Raises BusyError when another holds it for longer than `wait_s`.

    A moment is waited in any case: whoever looks whether it is held holds it for that long.
    """
    make_directory(lock.parent)
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    end_s = time.monotonic() + max(wait_s, 2 * _POLL_S)
    try:
        while not _taken(handle):
            if time.monotonic() >= end_s:
                raise BusyError(f"{lock}: another installation runs; wait until it has ended")
            time.sleep(_POLL_S)  # flock(2) has no timeout
        yield
    finally:
        os.close(handle)


def is_held(lock: Path) -> bool | None:
    """Tell whether an installer works now; None where one may not look."""
    try:
        handle = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        return not _taken(handle)
    finally:
        os.close(handle)


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
