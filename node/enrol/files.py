"""Writes the node's papers so that a power cut leaves the old or the new, never a part."""

import os
from pathlib import Path

from node.durable import fsync_directory, write_new

_SCRUBBED = b"#cloud-config\n# Overwritten at the enrolment of this node.\n"


def write_whole(file: Path, content: bytes, *, mode: int) -> None:
    """Replace `file` in one step (fsync, rename, fsync of the folder). Raises OSError."""
    beside = file.with_name(f".{file.name}.new")
    beside.unlink(missing_ok=True)
    write_new(beside, (content,), mode)
    rename_whole(beside, file)


def settle(*files: Path) -> None:
    """See on the card what another program wrote. Raises OSError."""
    for file in files:
        with file.open("rb") as written:
            os.fsync(written.fileno())
        fsync_directory(file.parent)


def rename_whole(old: Path, new: Path) -> None:
    """Rename within one folder, and see it on the card before returning. Raises OSError."""
    old.rename(new)
    fsync_directory(new.parent)


def remove_whole(file: Path) -> None:
    """Remove a file if it is there, and see it gone from the card. Raises OSError."""
    file.unlink(missing_ok=True)
    fsync_directory(file.parent)


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
