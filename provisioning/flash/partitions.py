"""Finds the partitions of an image while it is still being decoded: MBR, logical ones, and GPT.

Layout: UEFI 2.10, sections 5.2.1 (MBR) and 5.3 (GPT); logical partitions are a chain of further
boot records inside the extended one, the second entry of each pointing onwards. A table is read
when it is its turn: whoever has found his partition does not wait for the rest of the image.
"""

import struct
from binascii import crc32
from collections.abc import Iterator

from provisioning.flash.errors import ImageError
from provisioning.flash.image_map import Range
from provisioning.flash.source import Source

SECTOR_BYTES = 512
_ENTRIES = slice(446, 510)
_ENTRY = struct.Struct("<B3xB3xII")
_FLAGS = {0x00, 0x80}
_EXTENDED = {0x05, 0x0F, 0x85}
_PROTECTIVE = 0xEE
_LOGICAL_COUNT_MAX = 60
_GPT_HEADER = struct.Struct("<8s4xII4x48xQIII")
_GPT_ENTRY = struct.Struct("<16s16xQQ")
_GPT_BYTES_MAX = 2**20
_Entry = tuple[int, int, int]
"""Kind, first sector, number of sectors; the kind is 0 for none."""


def partitions(source: Source) -> Iterator[Range]:
    """Give where the partitions lie, in the order of their numbers; `sha256` is empty.

    Waits for each table until it is decoded. Raises ImageError.
    """
    entries = _table(source, 0)
    if not entries:
        raise ImageError(f"{source.name}: no partition table; is it the image of a card?")
    if any(kind == _PROTECTIVE for kind, _, _ in entries):
        yield from _gpt(source)
        return
    for kind, start, count in entries:
        if kind and kind not in _EXTENDED:
            yield _sectors(start, count)
    for kind, start, _ in entries:
        if kind in _EXTENDED:
            yield from _logical(source, start)


def _logical(source: Source, extended: int) -> Iterator[Range]:
    """Give the logical partitions; a chain that breaks off ends there."""
    at = extended
    for _ in range(_LOGICAL_COUNT_MAX):
        entries = _table(source, at)
        if not entries:
            return
        (kind, start, count), (onwards, distance, _), *_ = entries
        if kind:
            yield _sectors(at + start, count)
        if not onwards:
            return
        at = extended + distance


def _table(source: Source, sector: int) -> list[_Entry]:
    """Return the four entries of a boot record; none when it is no such record.

    The boot sector of a FAT ends as one does, but has code where the entries' flags are.
    """
    record = source.piece(sector * SECTOR_BYTES, SECTOR_BYTES)
    if record[_ENTRIES.stop :] != b"\x55\xaa":
        return []
    found = list(_ENTRY.iter_unpack(record[_ENTRIES]))
    if any(flag not in _FLAGS for flag, *_ in found):
        return []
    return [(kind if count else 0, start, count) for _, kind, start, count in found]


def _gpt(source: Source) -> Iterator[Range]:
    header = source.piece(SECTOR_BYTES, SECTOR_BYTES)
    magic, size, own_sum, at, count, entry_bytes, entries_sum = _GPT_HEADER.unpack_from(header)
    unsummed = header[:16] + bytes(4) + header[20:size]
    sizes_fit = entry_bytes >= _GPT_ENTRY.size and count * entry_bytes <= _GPT_BYTES_MAX
    table = source.piece(at * SECTOR_BYTES, count * entry_bytes) if sizes_fit else b""
    is_whole = magic == b"EFI PART" and crc32(unsummed) == own_sum and crc32(table) == entries_sum
    if not (is_whole and sizes_fit):
        raise ImageError(f"{source.name}: its partition table (GPT) is damaged; build it again")
    for index in range(count):
        kind, first, last = _GPT_ENTRY.unpack_from(table, index * entry_bytes)
        if any(kind) and last >= first:
            yield _sectors(first, last - first + 1)


def _sectors(start: int, count: int) -> Range:
    return Range(start * SECTOR_BYTES, count * SECTOR_BYTES)
