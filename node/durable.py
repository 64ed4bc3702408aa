"""Writes that a power cut leaves either old or new: fsync(2) before rename(2), and after."""

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

DIRECTORY_MODE = 0o755
_FULL = {errno.ENOSPC, errno.EDQUOT}


def is_full(error: OSError) -> bool:
    """Tell whether `error` says that there is no room left."""
    return error.errno in _FULL


def fsync_directory(directory: Path) -> None:
    """Put the names in `directory` on the medium."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_directory(directory: Path) -> None:
    """Make `directory` and what is missing above it, for all to read whatever the umask says."""
    if not directory.is_dir():
        make_directory(directory.parent)
        directory.mkdir(exist_ok=True)
        directory.chmod(DIRECTORY_MODE)


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


def point(link: Path, target: str, *, like: Path | None = None) -> None:
    """Let the symlink `link` point at `target`, at once: never absent, never in between.

    What it points at must be on the medium already. `like` is another symlink with that target: a
    second name for it needs no block, and so works on a full disk (ext4 takes a block for a symlink
    to more than 59 bytes).
    """
    beside = link.with_name(f".{link.name}.new")
    with suppress(FileNotFoundError):
        beside.unlink()
    if like is None or not _named(beside, like):
        beside.symlink_to(target)
    beside.replace(link)
    fsync_directory(link.parent)


def _named(name: Path, link: Path) -> bool:
    """Give the symlink `link` a second name; return whether its file system can."""
    try:
        os.link(link, name, follow_symlinks=False)
    except OSError:
        return False
    return True


def remove_link(link: Path) -> None:
    """Remove the symlink `link` if it is there, durably."""
    with suppress(FileNotFoundError):
        link.unlink()
        fsync_directory(link.parent)
