"""Finds the one sector that holds a small file of a FAT's root directory, without mounting it.

Layout: Microsoft's FAT specification 1.03, sections 3 (boot sector), 4 (FAT) and 6 (directories).
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from slot_boot.errors import FatError

SECTOR_BYTES = 512
_ENTRY_BYTES = 32
_FAT16_CLUSTERS = 65525
_ATTRIBUTE_VOLUME = 0x08  # volume labels and long names alike
_CLUSTERS_MAX = 64  # a longer root directory means a loop or a card that is not ours

ReadSector = Callable[[int], bytes]
"""Takes a sector's number on the partition, gives its 512 bytes."""


@dataclass(frozen=True, slots=True)
class _Volume:
    cluster_sectors: int
    fat_start: int
    root_start: int  # FAT12/16: the root directory's first sector
    root_sectors: int
    data_start: int
    root_cluster: int  # FAT32
    clusters: int


@dataclass(frozen=True, slots=True)
class SmallFile:
    """A file that one sector holds."""

    sector: int
    """Counted from the partition's start."""
    size_bytes: int


def find_file(read: ReadSector, name: str) -> SmallFile:
    """Return where the file `name` (8.3) lies. Raises FatError when it is absent or larger."""
    volume = _volume(read(0))
    stem, _, extension = name.upper().partition(".")
    wanted = f"{stem:<8}{extension:<3}".encode("ascii")
    for sector in _root_sectors(volume, read):
        entries = read(sector)
        for start in range(0, SECTOR_BYTES, _ENTRY_BYTES):
            entry = entries[start : start + _ENTRY_BYTES]
            if entry[0] == 0:
                raise FatError(f"the partition holds no {name}")
            if entry[:11] == wanted and not entry[11] & _ATTRIBUTE_VOLUME:
                return _small_file(volume, entry, name)
    raise FatError(f"the partition holds no {name}")


def _volume(boot: bytes) -> _Volume:
    (sector_bytes, cluster_sectors, reserved, fats, root_entries, total16) = struct.unpack_from(
        "<HBHBHH", boot, 11
    )
    (fat16,) = struct.unpack_from("<H", boot, 22)
    (total32, fat32) = struct.unpack_from("<II", boot, 32)
    if boot[510:512] != b"\x55\xaa" or sector_bytes != SECTOR_BYTES or not cluster_sectors:
        raise FatError("the partition is not a FAT of 512-byte sectors")
    fat_sectors = fat16 or fat32
    root_start = reserved + fats * fat_sectors
    root_sectors = -(-root_entries * _ENTRY_BYTES // SECTOR_BYTES)
    data_start = root_start + root_sectors
    return _Volume(
        cluster_sectors=cluster_sectors,
        fat_start=reserved,
        root_start=root_start,
        root_sectors=root_sectors,
        data_start=data_start,
        root_cluster=struct.unpack_from("<I", boot, 44)[0] if not root_entries else 0,
        clusters=((total16 or total32) - data_start) // cluster_sectors,
    )


def _root_sectors(volume: _Volume, read: ReadSector) -> Iterator[int]:
    if not volume.root_cluster:
        yield from range(volume.root_start, volume.data_start)
        return
    cluster = volume.root_cluster
    for _ in range(_CLUSTERS_MAX):
        start = _sector_of(volume, cluster)
        yield from range(start, start + volume.cluster_sectors)
        position = cluster * 4
        table = read(volume.fat_start + position // SECTOR_BYTES)
        cluster = struct.unpack_from("<I", table, position % SECTOR_BYTES)[0] & 0x0FFFFFFF
        if not 2 <= cluster < volume.clusters + 2:  # noqa: PLR2004 - data clusters count from 2
            return


def _small_file(volume: _Volume, entry: bytes, name: str) -> SmallFile:
    (high,) = struct.unpack_from("<H", entry, 20)
    (low, size_bytes) = struct.unpack_from("<HI", entry, 26)
    if not 0 < size_bytes <= SECTOR_BYTES:
        raise FatError(f"{name} has {size_bytes} bytes; 1 to {SECTOR_BYTES} are expected")
    wide = volume.clusters >= _FAT16_CLUSTERS
    return SmallFile(_sector_of(volume, (high << 16 if wide else 0) | low), size_bytes)


def _sector_of(volume: _Volume, cluster: int) -> int:
    if not 2 <= cluster < volume.clusters + 2:  # noqa: PLR2004 - data clusters count from 2
        raise FatError(f"the FAT points at cluster {cluster}, which does not exist")
    return volume.data_start + (cluster - 2) * volume.cluster_sectors
