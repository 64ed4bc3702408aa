"""Overwrites autoboot.txt in place: one sector, past every cache, read back.

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

from slot_boot.choice import SIZE_BYTES, Choice, decode, encode
from slot_boot.errors import FatError, SlotError
from slot_boot.fat import SECTOR_BYTES, autoboot_sector


class BootSelect:
    """The boot-select partition, open and locked."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._page = mmap.mmap(-1, mmap.PAGESIZE)  # O_DIRECT asks for aligned memory
        self._position_bytes = autoboot_sector(self._read) * SECTOR_BYTES

    def choice(self) -> Choice:
        """Return what autoboot.txt says. Raises ChoiceError."""
        return decode(self._read(self._position_bytes // SECTOR_BYTES))

    def write(self, choice: Choice) -> None:
        """Put `choice` on the card before returning. Raises SlotError when it does not stick."""
        sector = encode(choice)
        self._page[:SIZE_BYTES] = sector
        with memoryview(self._page) as view, view[:SIZE_BYTES] as part:
            os.pwritev(self._descriptor, [part], self._position_bytes)
        if self._read(self._position_bytes // SECTOR_BYTES) != sector:
            raise SlotError("autoboot.txt reads back differently from what was written: card worn?")

    def _read(self, sector: int) -> bytes:
        with memoryview(self._page) as view, view[:SECTOR_BYTES] as part:
            count = os.preadv(self._descriptor, [part], sector * SECTOR_BYTES)
        if count != SECTOR_BYTES:
            raise FatError(f"the boot-select partition ends before its sector {sector}")
        return bytes(self._page[:SECTOR_BYTES])


@contextmanager
def boot_select(device: Path) -> Iterator[BootSelect]:
    """Open `device` (a partition or an image of it) alone. Raises SlotError, FatError."""
    try:
        flags = os.O_RDWR | os.O_DIRECT | os.O_DSYNC | os.O_CLOEXEC
        descriptor = os.open(device, flags)
    except OSError as error:
        raise SlotError(f"{device}: the boot-select partition cannot be opened: {error}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield BootSelect(descriptor)
    except OSError as error:
        raise SlotError(f"{device}: {error}") from error
    finally:
        os.close(descriptor)
