"""Finds the partitions of a card image: MBR with logical partitions, as the Pi's firmware reads it.

Layout: UEFI 2.10 section 5.2.1 (MBR entries); logical partitions are a chain of further boot
records inside the extended one, the second entry of each pointing onwards.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from provisioning.image.boot.errors import CardError

SECTOR_BYTES = 512
_TABLE_START = 446
_EXTENDED = {0x05, 0x0F}
_FIRST_LOGICAL = 5
_LOGICAL_MAX = 60


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition of the image."""

    number: int
    kind: int
    start_bytes: int
    size_bytes: int


def read_partitions(image: Path) -> dict[int, Partition]:
    """Return the partitions of `image` by number. Raises CardError when it holds no MBR."""
    try:
        with image.open("rb") as file:
            return _partitions(file, image)
    except OSError as error:
        raise CardError(f"{image}: cannot be read: {error.strerror}") from error


def _partitions(file: BinaryIO, image: Path) -> dict[int, Partition]:
    found: dict[int, Partition] = {}
    for index, entry in enumerate(_table(file, 0, image)):
        if entry is None:
            continue
        kind, start, size = entry
        found[index + 1] = _partition(index + 1, kind, start, size)
        if kind in _EXTENDED:
            found |= _logical(file, start, image)
    return found


def _logical(file: BinaryIO, extended: int, image: Path) -> dict[int, Partition]:
    found: dict[int, Partition] = {}
    record = extended
    for number in range(_FIRST_LOGICAL, _FIRST_LOGICAL + _LOGICAL_MAX):
        here, onwards, *_ = _table(file, record, image)
        if here is not None:
            kind, start, size = here
            found[number] = _partition(number, kind, record + start, size)
        if onwards is None:
            return found
        record = extended + onwards[1]
    raise CardError(f"{image}: the chain of logical partitions has no end; build the image anew")


def _table(file: BinaryIO, sector: int, image: Path) -> list[tuple[int, int, int] | None]:
    file.seek(sector * SECTOR_BYTES)
    record = file.read(SECTOR_BYTES)
    if len(record) < SECTOR_BYTES or record[510:] != b"\x55\xaa":
        raise CardError(f"{image}: no partition table at sector {sector}; is it a card image?")
    entries: list[tuple[int, int, int] | None] = []
    for index in range(4):
        kind, start, size = struct.unpack_from("<4xB3xII", record, _TABLE_START + 16 * index)
        entries.append((kind, start, size) if kind and size else None)
    return entries


def _partition(number: int, kind: int, start: int, size: int) -> Partition:
    return Partition(number, kind, start * SECTOR_BYTES, size * SECTOR_BYTES)
