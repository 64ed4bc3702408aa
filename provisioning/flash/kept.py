"""Keeps decoded images on the station's disk from one batch to the next.

The folder may be anybody's and hold what else it likes: only files that are named as this module
names them, by the SHA-256 of what they hold, are ever looked at or removed.
"""

import os
import re
import shutil
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

from provisioning.flash.errors import StationError

_SPARE_DISK_BYTES = 256 * 2**20
_KEPT_IMAGES_COUNT = 2
_NAME = re.compile(r"[0-9a-f]{64}\.img")


def cache_directory() -> Path:
    """Return where decoded images are kept (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "simpul" / "images"


def kept_name(cache: Path, key: str) -> Path:
    """Return the file that keeps the image with this key (ImageMap.key)."""
    return cache / f"{key}.img"


def open_kept(file: Path, size_bytes: int) -> BinaryIO | None:
    """Return the image kept as `file`; None when there is none that has this size and can be read.

    One that cannot be used is dropped, so that it stands in nobody's way again.
    """
    try:
        kept = file.open("rb")
    except FileNotFoundError:
        return None
    except OSError:
        drop(file)
        return None
    if os.fstat(kept.fileno()).st_size != size_bytes:
        kept.close()
        drop(file)
        return None
    with suppress(OSError):  # another's file; it only looks older than it is
        os.utime(kept.fileno())
    return kept


def keep(file: BinaryIO, name: Path) -> bool:
    """Give a file without a name this one, and drop what is older than the newest few.

    False when the file system cannot, or the name is taken: nothing depends on it, the image is
    decoded anew next time.
    """
    try:
        # Only with a folder's descriptor, here unused, does Python follow the link (linkat(2)).
        os.link(f"/proc/self/fd/{file.fileno()}", name, src_dir_fd=0, follow_symlinks=True)
    except OSError:
        return False
    others = [each for each in _newest_first(name.parent) if each.name != name.name]
    for old in others[_KEPT_IMAGES_COUNT - 1 :]:
        drop(old)
    return True


def drop(file: Path) -> str:
    """Remove a kept image; return why that cannot be done, empty when it is gone."""
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        return str(error.strerror)
    return ""


def new_file(cache: Path, size_bytes: int, *, needed_bytes: int) -> BinaryIO:
    """Return a file without a name: it is gone with this process, however that ends.

    `size_bytes` long, of which it will hold `needed_bytes`. Raises StationError.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        if shutil.disk_usage(cache).free < needed_bytes + _SPARE_DISK_BYTES:
            raise StationError(
                f"{cache}: less than {needed_bytes / 2**20:.0f} MiB free; "
                "make room there, or name another folder with --cache"
            )
        with ExitStack() as undo:
            file = undo.enter_context(_without_name(cache))
            os.ftruncate(file.fileno(), size_bytes)
            undo.pop_all()
    except OSError as error:
        raise StationError(f"{cache}: {error.strerror}; name another with --cache") from error
    return file


def _without_name(cache: Path) -> BinaryIO:
    try:
        # tempfile's own cannot be given a name later: it adds O_EXCL (open(2), O_TMPFILE).
        return os.fdopen(os.open(cache, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600), "w+b")
    except OSError:
        return tempfile.TemporaryFile(dir=cache)  # a file system without O_TMPFILE


def _newest_first(cache: Path) -> list[Path]:
    aged = []
    with suppress(OSError):  # a folder that cannot be listed keeps what it has
        for each in cache.iterdir():
            if _NAME.fullmatch(each.name):
                with suppress(OSError):  # gone meanwhile
                    aged.append((each.stat().st_mtime, each))
    return [each for _, each in sorted(aged, reverse=True)]
