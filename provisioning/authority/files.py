"""Writes files that must be whole and private from their first moment."""

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

from node.durable import fsync_directory

PRIVATE = 0o600
PUBLIC = 0o644


def write_whole(file: Path, content: bytes, *, mode: int = PRIVATE) -> None:
    """Replace `file` by `content` in one step that also survives a power cut (rename(2))."""
    beside = write_beside(file, content, mode=mode)
    with ExitStack() as undo:
        undo.callback(beside.unlink)
        beside.rename(file)
        undo.pop_all()
    fsync_directory(file.parent)


def write_beside(file: Path, content: bytes, *, mark: str = "", mode: int = PRIVATE) -> Path:
    """Write `content` to the disk under a hidden name beside `file`, with `mark` in it; return it.

    Raises OSError; then there is no such file.
    """
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.{mark}")
    with ExitStack() as undo:
        undo.callback(Path(name).unlink)
        with os.fdopen(descriptor, "wb") as out:
            out.write(content)
            out.flush()
            os.fchmod(out.fileno(), mode)
            os.fsync(out.fileno())
        undo.pop_all()
    return Path(name)
