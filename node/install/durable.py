"""Writes that a power cut leaves either old or new: fsync(2) before rename(2), and after."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def fsync_directory(directory: Path) -> None:
    """Put the names in `directory` on the medium."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_new(file: Path, pieces: Iterable[bytes], mode: int) -> None:
    """Write a file that must not exist yet, and put its content on the medium."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(file, flags, 0o600), "wb") as out:
        for piece in pieces:
            out.write(piece)
        out.flush()
        os.fchmod(out.fileno(), mode)
        os.fsync(out.fileno())


def replace_file(file: Path, text: bytes) -> None:
    """Give `file` a new content, whole or not at all."""
    beside = file.with_name(f".{file.name}.new")
    with suppress(FileNotFoundError):
        beside.unlink()
    write_new(beside, (text,), 0o644)
    beside.replace(file)
    fsync_directory(file.parent)


def point(link: Path, target: str) -> None:
    """Let the symlink `link` point at `target`, at once: never absent, never in between.

    What it points at must be on the medium already.
    """
    beside = link.with_name(f".{link.name}.new")
    with suppress(FileNotFoundError):
        beside.unlink()
    beside.symlink_to(target)
    beside.replace(link)
    fsync_directory(link.parent)


def remove_link(link: Path) -> None:
    """Remove the symlink `link` if it is there, durably."""
    with suppress(FileNotFoundError):
        link.unlink()
        fsync_directory(link.parent)
