"""Reads samples of a written card once more: they tell cards that write their end over their start.

Such a card has given back every range right after it was written; it cannot do so once all is.
"""

from collections.abc import Iterator

from provisioning.flash.block import aligned_buffer
from provisioning.flash.image_map import ImageMap
from provisioning.flash.journal import BLOCK_BYTES
from provisioning.flash.ranges import Handles, expect
from provisioning.flash.source import Source

_EVERY_BYTES = 8 * 2**20
_APART_BYTES = 32 * 2**10


def check_samples(source: Source, handles: Handles) -> None:
    """Compare samples of every range with the image. Raises CardError, ImageError."""
    wanted = aligned_buffer(BLOCK_BYTES)
    for offset in _offsets(source.map):
        length = min(BLOCK_BYTES, source.map.image_bytes - offset)
        source.read_into(wanted[:length], offset)
        wanted[length:] = bytes(BLOCK_BYTES - length)
        expect(handles, wanted, offset)


def _offsets(image_map: ImageMap) -> Iterator[int]:
    """Give a block of every 8 MiB of every range, and its last, but no two close together."""
    last = 0
    for part in image_map.ranges:
        end = (part.end_bytes - 1) // BLOCK_BYTES * BLOCK_BYTES
        for offset in (*range(part.offset_bytes, end, _EVERY_BYTES), end):
            if offset - last >= _APART_BYTES:
                last = offset
                yield offset
