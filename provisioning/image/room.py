"""Gives a build a folder of its own, and clears away those of builds that were killed."""

import fcntl
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from provisioning.image.archive import alone

_PREFIX = "build-"


@contextmanager
def own_room(cache: Path) -> Iterator[Path]:
    """Give a new folder in `cache` while it is needed; remove what no running build holds.

    A build holds its folder by flock(2), which ends with it, however it ends.
    """
    with alone(cache):  # or another build would take the new folder for a forsaken one
        _clear(cache)
        room = tempfile.TemporaryDirectory(prefix=_PREFIX, dir=cache)
        held = _hold(Path(room.name))
    try:
        with room:
            yield Path(room.name)
    finally:
        os.close(held)


def _hold(room: Path) -> int:
    """Return the descriptor that holds `room`. Raises BlockingIOError when another does."""
    held = os.open(room, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        raise
    return held


def _clear(cache: Path) -> None:
    for room in cache.glob(f"{_PREFIX}*"):
        try:
            held = _hold(room)
        except OSError:
            continue  # in use, or not ours
        # Whatever a killed build left mounted in there is not ours to empty.
        subprocess.run(
            ["rm", "--recursive", "--force", "--one-file-system", room],  # noqa: S607 - from PATH
            check=False,
            stderr=subprocess.DEVNULL,
        )
        os.close(held)
