"""Writes files that must be whole and private from their first moment."""

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

PRIVATE = 0o600
PUBLIC = 0o644


def write_whole(file: Path, content: bytes, *, mode: int = PRIVATE) -> None:
    """Replace `file` by `content` in one step that also survives a power cut (rename(2))."""
    descriptor, beside = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    with ExitStack() as undo:
        undo.callback(Path(beside).unlink)
        with os.fdopen(descriptor, "wb") as out:
            out.write(content)
            out.flush()
            os.fchmod(out.fileno(), mode)
            os.fsync(out.fileno())
        Path(beside).rename(file)
        undo.pop_all()
    directory = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
