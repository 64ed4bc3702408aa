"""Holds the boot selection: autoboot.txt on the boot-select partition, exactly one sector."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slot_boot.choice import SIZE_BYTES, Choice, decode, encode
from slot_boot.errors import FatError
from slot_boot.fat import find_file
from slot_boot.sector import Sectors, open_sectors

_NAME = "autoboot.txt"


class BootSelect:
    """The boot-select partition, open and locked."""

    def __init__(self, sectors: Sectors) -> None:
        self._sectors = sectors
        found = find_file(sectors.read, _NAME)
        if found.size_bytes != SIZE_BYTES:
            raise FatError(
                f"{_NAME} has {found.size_bytes} bytes instead of {SIZE_BYTES}: something other"
                " than this program rewrote it; restore it with exactly one sector"
            )
        self._sector = found.sector

    def choice(self) -> Choice:
        """Return what autoboot.txt says. Raises ChoiceError."""
        return decode(self._sectors.read(self._sector))

    def write(self, choice: Choice) -> None:
        """Put `choice` on the card before returning. Raises SlotError when it does not stick."""
        self._sectors.write(self._sector, encode(choice))


@contextmanager
def boot_select(device: Path) -> Iterator[BootSelect]:
    """Open the partition `device` alone. Raises SlotError, FatError."""
    with open_sectors(device) as sectors:
        yield BootSelect(sectors)
