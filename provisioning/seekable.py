"""Packs zstd files in frames that can be unpacked apart and side by side, and finds these frames.

The seekable format of the zstd project (zstd_seekable_compression_format.md): plain frames, then a
skippable frame with their sizes, which every decoder passes over. That table is believed only as
far as the file's size bears it out; without a good one a file is still what it was, one stream.
"""

import os
import struct
from collections.abc import Iterable
from typing import BinaryIO

import zstandard
from msgspec import Struct

FRAME_BYTES_MAX = 16 * 2**20
"""Of one frame, packed or plain, that is worth holding in memory."""
_SKIPPABLE_MAGIC = 0x184D2A5E
_SEEKABLE_MAGIC = 0x8F92EAB1
_HEAD = struct.Struct("<II")
_ENTRY = struct.Struct("<II")
_FOOTER = struct.Struct("<IBI")
_WITH_SUMS = 0x80
_SUM_BYTES = 4
_FRAMES_COUNT_MAX = 2**20


class Frame(Struct, frozen=True):
    """A part of a packed file that can be decoded alone, and the part of the plain one it holds."""

    packed_offset_bytes: int
    packed_bytes: int
    plain_offset_bytes: int
    plain_bytes: int


def pack_frame(plain: bytes, level: int) -> bytes:
    """Return `plain` as a frame, with its size and checksum. Raises ValueError."""
    try:
        # The size stands in the frame's head by default.
        return zstandard.ZstdCompressor(level=level, write_checksum=True).compress(plain)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error


def unpack_frame(packed: bytes, buffer: memoryview) -> None:
    """Fill `buffer` from a frame that holds just so much. Raises ValueError.

    Given the room for all of it, zstd decodes straight into the buffer: no window, no copy.
    """
    try:
        with zstandard.ZstdDecompressor().stream_reader(packed) as stream:
            count, more = stream.readinto(buffer), stream.read(1)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
    if count < len(buffer) or more:
        raise ValueError("a frame is not as long as the table of frames says")


def seek_table(sizes: Iterable[tuple[int, int]]) -> bytes:
    """Return what follows frames of these sizes, packed and plain."""
    entries = [_ENTRY.pack(packed, plain) for packed, plain in sizes]
    footer = _FOOTER.pack(len(entries), 0, _SEEKABLE_MAGIC)
    table = b"".join(entries) + footer
    return _HEAD.pack(_SKIPPABLE_MAGIC, len(table)) + table


def read_frames(file: BinaryIO) -> tuple[Frame, ...]:
    """Return the frames of `file`; none when it is to be read as one stream. Raises OSError."""
    size = os.fstat(file.fileno()).st_size
    if size < _HEAD.size + _FOOTER.size:
        return ()
    footer = os.pread(file.fileno(), _FOOTER.size, size - _FOOTER.size)
    count, descriptor, magic = _FOOTER.unpack(footer)
    if magic != _SEEKABLE_MAGIC or descriptor & ~_WITH_SUMS or count > _FRAMES_COUNT_MAX:
        return ()
    entry_bytes = _ENTRY.size + (_SUM_BYTES if descriptor & _WITH_SUMS else 0)
    body_bytes = count * entry_bytes + _FOOTER.size
    start = size - body_bytes - _HEAD.size
    if start < 0:
        return ()
    table = os.pread(file.fileno(), _HEAD.size + body_bytes, start)
    if table[: _HEAD.size] != _HEAD.pack(_SKIPPABLE_MAGIC, body_bytes):
        return ()
    frames = tuple(_frames(table, count, entry_bytes))
    packed_bytes = sum(each.packed_bytes for each in frames)
    if packed_bytes != start or not all(map(_is_small, frames)):
        return ()
    return frames


def _frames(table: bytes, count: int, entry_bytes: int) -> Iterable[Frame]:
    packed_at = plain_at = 0
    for number in range(count):
        packed, plain = _ENTRY.unpack_from(table, _HEAD.size + number * entry_bytes)
        yield Frame(packed_at, packed, plain_at, plain)
        packed_at += packed
        plain_at += plain


def _is_small(frame: Frame) -> bool:
    return frame.packed_bytes <= FRAME_BYTES_MAX and frame.plain_bytes <= FRAME_BYTES_MAX
