"""Gives a freshly installed boot slot the kernel's arguments of its own slot.

One bundle serves both slots, so its boot partition speaks for one of them. The two words that tell
slots apart have the same length in both, and cmdline.txt is one sector: it is overwritten in place,
before the slot is chosen.
"""

import re
from pathlib import Path

from slot_boot.errors import SlotError
from slot_boot.fat import find_file
from slot_boot.sector import open_sectors

ROOT_PARTITION_OF = {"a": 5, "b": 6}
_NAME = "cmdline.txt"
_ROOT = re.compile(rb"(?<!\S)root=PARTUUID=53494d50-0[56](?!\S)")
_SLOT = re.compile(rb"(?<!\S)simpul\.slot=[ab](?!\S)")


def own_words(line: bytes, slot: str) -> bytes:
    """Return the arguments in `line` as those of `slot`. Raises SlotError when they name none."""
    line, roots = _ROOT.subn(f"root=PARTUUID=53494d50-0{ROOT_PARTITION_OF[slot]}".encode(), line)
    line, slots = _SLOT.subn(f"simpul.slot={slot}".encode(), line)
    if (roots, slots) != (1, 1):
        raise SlotError(
            f"{_NAME} names no slot and root of this system: the bundle was made for another"
        )
    return line


def give_own_words(device: Path, slot: str) -> None:
    """Write the arguments of `slot` on its boot partition `device`. Raises SlotError, FatError."""
    with open_sectors(device) as sectors:
        found = find_file(sectors.read, _NAME)
        sector = sectors.read(found.sector)
        wanted = own_words(sector[: found.size_bytes], slot) + sector[found.size_bytes :]
        if wanted != sector:
            sectors.write(found.sector, wanted)
