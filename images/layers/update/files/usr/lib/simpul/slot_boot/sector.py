"""Overwrites one sector of a partition in place, past every cache, and reads it back.

A new file and a rename lose the file on FAT when the power goes; one pre-allocated sector does
not. The partition may be mounted read-only meanwhile; a mounted view may show the old text until
it is mounted anew.
"""

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slot_boot.errors import FatError, SlotError
from slot_boot.fat import SECTOR_BYTES


class Sectors:
    """An open partition, or an image of one."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._page = mmap.mmap(-1, mmap.PAGESIZE)  # O_DIRECT asks for aligned memory

    def read(self, sector: int) -> bytes:
        """Return 512 bytes. Raises FatError past the partition's end."""
        with memoryview(self._page) as view, view[:SECTOR_BYTES] as part:
            count = os.preadv(self._descriptor, [part], sector * SECTOR_BYTES)
        if count != SECTOR_BYTES:
            raise FatError(f"the partition ends before its sector {sector}")
        return bytes(self._page[:SECTOR_BYTES])

    def write(self, sector: int, content: bytes) -> None:
        """Put 512 bytes on the card before returning. Raises SlotError when they do not stick."""
        self._page[:SECTOR_BYTES] = content
        with memoryview(self._page) as view, view[:SECTOR_BYTES] as part:
            os.pwritev(self._descriptor, [part], sector * SECTOR_BYTES)
        if self.read(sector) != content:
            raise SlotError(f"sector {sector} reads back differently: is the card worn out?")


@contextmanager
def open_sectors(device: Path) -> Iterator[Sectors]:
    """Open `device`, a partition or an image of it, alone. Raises SlotError naming it."""
    try:
        flags = os.O_RDWR | os.O_DIRECT | os.O_DSYNC | os.O_CLOEXEC
        descriptor = os.open(device, flags)
    except OSError as error:
        raise SlotError(f"{device}: cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield Sectors(descriptor)
    except OSError as error:
        raise SlotError(f"{device}: {error}") from error
    except FatError as error:
        raise FatError(f"{device}: {error}") from error
    finally:
        os.close(descriptor)
