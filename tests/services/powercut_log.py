"""Reads a log of every write and flush of a disk, so that power cuts can be replayed from it.

Layout: the kernel's Documentation/admin-guide/device-mapper/log-writes.rst and dm-log-writes.c;
QEMU's block driver `blklogwrites` writes the same.
"""

import enum
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_MAGIC = 0x6A736677736872
_VERSION = 1
_SUPER = struct.Struct("<QQQI")
_ENTRY = struct.Struct("<QQQQ")
_SECTOR_BYTES_MIN = 512
_SECTOR_BYTES_MAX = 65536


class LogError(ValueError):
    """The log is damaged, truncated or no log of writes."""


class Flag(enum.IntFlag):
    """What a log entry is, beside a write."""

    FLUSH = 1
    """Everything completed before is durable once this is done."""
    FUA = 2
    """This write itself is durable once it is done."""
    DISCARD = 4
    """The range may read as anything afterwards; it is replayed as zeros."""
    MARK = 8
    """A name put into the log by whoever records it."""
    METADATA = 16


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry; the data of a write stay in the log."""

    number: int
    flags: Flag
    start_bytes: int
    """Where on the disk."""
    size_bytes: int
    """How much of the disk; 0 for a mere flush or a mark."""
    data_bytes: int | None
    """Where in the log the content begins; None when the range is zeroed or empty."""
    mark: str = ""


def read_log(log: Path) -> list[Entry]:
    """Return the entries of `log` in their order. Raises LogError saying where it is damaged."""
    with log.open("rb") as file:
        size_bytes = file.seek(0, 2)
        file.seek(0)
        head = file.read(_SUPER.size)
        if len(head) < _SUPER.size:
            raise LogError(f"{log}: shorter than a superblock")
        magic, version, count, sector_bytes = _SUPER.unpack(head)
        if (magic, version) != (_MAGIC, _VERSION):
            raise LogError(f"{log}: no log of writes, version {_VERSION}")
        if not _SECTOR_BYTES_MIN <= sector_bytes <= _SECTOR_BYTES_MAX:
            raise LogError(f"{log}: sectors of {sector_bytes} bytes")
        position = sector_bytes
        entries: list[Entry] = []
        for number in range(count):
            try:
                entry, position = _entry(file, number, position, sector_bytes)
            except LogError as error:
                raise LogError(f"{log}: entry {number} of {count}: {error}") from error
            if position > size_bytes:
                raise LogError(f"{log}: entry {number} of {count}: ends after the log does")
            entries.append(entry)
    return entries


def _entry(file: BinaryIO, number: int, position: int, sector_bytes: int) -> tuple[Entry, int]:
    """Return the entry whose header stands at `position`, and where the next one does."""
    file.seek(position)
    header = file.read(sector_bytes)
    if len(header) < sector_bytes:
        raise LogError("its header is cut off")
    sector, sectors, bits, text_bytes = _ENTRY.unpack_from(header)
    flags = Flag(bits & (Flag.FLUSH | Flag.FUA | Flag.DISCARD | Flag.MARK | Flag.METADATA))
    mark = ""
    if flags & Flag.MARK:
        text = header[_ENTRY.size : _ENTRY.size + text_bytes]
        mark = text.rstrip(b"\0").decode("utf-8", "replace")
    size_bytes = sectors * sector_bytes
    after = position + sector_bytes
    if not size_bytes or flags & Flag.DISCARD:
        return Entry(number, flags, sector * sector_bytes, size_bytes, None, mark), after
    entry = Entry(number, flags, sector * sector_bytes, size_bytes, after, mark)
    return entry, after + size_bytes
