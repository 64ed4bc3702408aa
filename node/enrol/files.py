"""Writes the node's papers so that a power cut leaves the old or the new, never a part."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

_SCRUBBED = b"#cloud-config\n# Overwritten at the enrolment of this node.\n"


def write_whole(file: Path, content: bytes, *, mode: int) -> None:
    """Replace `file` in one step: fsync, rename(2), fsync of the folder. Raises OSError."""
    descriptor, beside = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(content)
            out.flush()
            os.fchmod(out.fileno(), mode)
            os.fsync(out.fileno())
        rename_whole(Path(beside), file)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(beside).unlink()
        raise


def rename_whole(old: Path, new: Path) -> None:
    """Rename within one folder, and see it on the card before returning. Raises OSError."""
    old.rename(new)
    directory = os.open(new.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def scrub(file: Path) -> None:
    """Overwrite a seed where it lies, at the same length. Raises OSError.

    The boot partition is FAT, where renaming can lose a file at a power cut and overwriting in
    place did not; and cloud-init keeps finding its seed there, now saying nothing.
    """
    with file.open("r+b") as out:
        size_bytes = os.fstat(out.fileno()).st_size
        out.write(_SCRUBBED[:size_bytes].ljust(size_bytes, b"\n"))
        out.flush()
        os.fsync(out.fileno())
