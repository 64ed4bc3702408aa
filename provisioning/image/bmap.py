"""Writes the block map of an image: what a card must get, each range with its SHA-256.

Format 2.0 of bmaptool (bmap-tools, BmapCreate): block numbers, both ends included; the checksum of
the map is taken with its own field as zeros. What must be on a card is known from the layout, not
guessed from zeros: a FAT's empty tables are data, a file system's free end is not.
"""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from provisioning.image.boot.partitions import SECTOR_BYTES, Partition, read_partitions
from provisioning.image.layout import DATA_PARTITION

BLOCK_BYTES = 4096
_RANGE_BLOCKS_MAX = 4096  # 16 MiB, so that an interrupted card loses little
_HEAD_BYTES = 1 << 20
_EXTENDED = {0x05, 0x0F}
_CHUNK_BYTES = 1 << 20


def write_bmap(image: Path, out: Path) -> int:
    """Write the map of `image` to `out`; return how many bytes are mapped."""
    size_bytes = image.stat().st_size
    with image.open("rb") as file:
        ranges = split(mapped_blocks(file, read_partitions(image), size_bytes))
        lines = [
            f'        <Range chksum="{_sha256(file, first, last, size_bytes)}">'
            f" {first}-{last} </Range>"
            for first, last in ranges
        ]
    blocks = -(-size_bytes // BLOCK_BYTES)
    mapped = sum(last - first + 1 for first, last in ranges)
    zeros = "0" * 64
    text = "\n".join(
        [
            '<?xml version="1.0" ?>',
            '<bmap version="2.0">',
            f"    <ImageSize> {size_bytes} </ImageSize>",
            f"    <BlockSize> {BLOCK_BYTES} </BlockSize>",
            f"    <BlocksCount> {blocks} </BlocksCount>",
            f"    <MappedBlocksCount> {mapped} </MappedBlocksCount>",
            "    <ChecksumType> sha256 </ChecksumType>",
            f"    <BmapFileChecksum> {zeros} </BmapFileChecksum>",
            "    <BlockMap>",
            *lines,
            "    </BlockMap>",
            "</bmap>",
            "",
        ]
    )
    own = hashlib.sha256(text.encode("ascii")).hexdigest()
    out.write_text(text.replace(zeros, own, 1), encoding="ascii")
    return mapped * BLOCK_BYTES


def mapped_blocks(
    file: BinaryIO, partitions: dict[int, Partition], size_bytes: int
) -> list[tuple[int, int]]:
    """Return the ranges of blocks that a card must get: ascending, apart, both ends included."""
    needed = [(0, SECTOR_BYTES)]
    for partition in partitions.values():
        start = partition.start_bytes
        if partition.kind in _EXTENDED:
            continue
        if partition.number > min(_extended_numbers(partitions), default=size_bytes):
            # The boot record of a logical partition lies in the gap before it.
            needed.append((start - _HEAD_BYTES, start))
        if partition.number == DATA_PARTITION:
            needed.append((start, start + partition.size_bytes))
            continue
        # An empty slot gets its first bytes, so that nothing older is taken for a system.
        used = _used_bytes(file, partition)
        needed.append((start, start + max(used, min(_HEAD_BYTES, partition.size_bytes))))
    return _merged((start, min(end, size_bytes)) for start, end in needed)


def split(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the same blocks in ranges of at most 16 MiB."""
    return [
        (start, min(start + _RANGE_BLOCKS_MAX - 1, last))
        for first, last in ranges
        for start in range(first, last + 1, _RANGE_BLOCKS_MAX)
    ]


def _extended_numbers(partitions: dict[int, Partition]) -> Sequence[int]:
    return [each.number for each in partitions.values() if each.kind in _EXTENDED]


def _used_bytes(file: BinaryIO, partition: Partition) -> int:
    """Return where the last byte that is not zero ends."""
    end = partition.size_bytes
    while end > 0:
        size = min(_CHUNK_BYTES, end)
        file.seek(partition.start_bytes + end - size)
        used = len(file.read(size).rstrip(b"\0"))
        if used:
            return end - size + used
        end -= size
    return 0


def _merged(needed: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(needed):
        first, last = start // BLOCK_BYTES, -(-end // BLOCK_BYTES) - 1
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def _sha256(file: BinaryIO, first: int, last: int, size_bytes: int) -> str:
    digest = hashlib.sha256()
    position, end = first * BLOCK_BYTES, min((last + 1) * BLOCK_BYTES, size_bytes)
    file.seek(position)
    while position < end:
        piece = file.read(min(_CHUNK_BYTES, end - position))
        digest.update(piece)
        position += len(piece)
    return digest.hexdigest()
