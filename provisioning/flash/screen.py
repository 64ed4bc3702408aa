"""Finds cards that have less memory than they claim, before anything is trusted to them.

Such cards forget what is written past their real end, or write it over what lies before it.
Quick: labels at places that such a card would confuse, read back after enough other data to push
them out of a cache. It finds cards which forget, and those whose real size is a power of two, as
the wrapping ones' are. Full: every 4 KiB of the card carries its own label. Both overwrite the
card, but for its first block, which the caller has made unbootable. After writing, samples of the
whole image are read once more in any case (card.py), which finds every wrap that could have
damaged this image.
"""

import hashlib
import secrets
import struct
from collections.abc import Callable, Iterator

from provisioning.flash.block import aligned_buffer, flush, read_at, write_at
from provisioning.flash.errors import FakeCapacityError
from provisioning.flash.ranges import Handles
from provisioning.flash.stop import Stop

_LABEL_BYTES = 4096
_CHUNK_BYTES = 2**21
_CACHE_BYTES = 16 * 2**20
_SCATTERED_COUNT = 16
_SMALLEST_POWER = 20


def screen_quick(handles: Handles, size_bytes: int, count: Callable[[int], None]) -> None:
    """Label a few dozen places and look for the labels. Raises FakeCapacityError, CardError."""
    key = secrets.token_bytes(16)
    places = _places(size_bytes)
    buffer = aligned_buffer(_LABEL_BYTES)
    for place in places:
        buffer[:] = _label(key, place)
        write_at(handles.writer, buffer, place)
        count(_LABEL_BYTES)
    filler = aligned_buffer(_CHUNK_BYTES)
    for offset in range(0, min(_CACHE_BYTES, size_bytes // 4), _CHUNK_BYTES):
        _push_out(handles, filler, offset, places)
        count(_CHUNK_BYTES)
    flush(handles.writer)
    labels = {_label(key, place): place for place in places}
    for place in places:
        read_at(handles.reader, buffer, place)
        count(_LABEL_BYTES)
        found = labels.get(bytes(buffer))
        if found != place:
            raise _fake(size_bytes, place, found)


def screen_full(
    handles: Handles, size_bytes: int, count: Callable[[int], None], stop: Stop
) -> None:
    """Label the whole card, then look for every label.

    Raises FakeCapacityError, CardError, StoppedError.
    """
    key = secrets.token_bytes(16)
    buffer = aligned_buffer(_CHUNK_BYTES)
    wanted = bytearray(secrets.token_bytes(_CHUNK_BYTES))
    for offset, length in _chunks(size_bytes, stop):
        _stamp(wanted, key, offset)
        buffer[:] = wanted
        write_at(handles.writer, buffer[:length], offset)
        count(length)
    flush(handles.writer)
    for offset, length in _chunks(size_bytes, stop):
        _stamp(wanted, key, offset)
        read_at(handles.reader, buffer[:length], offset)
        count(length)
        # The bytearray's own comparison: that of two memoryviews is fifty times slower, and holds
        # up every other card meanwhile.
        buffer[length:] = wanted[length:]  # of the last one, which is shorter
        if wanted != buffer:
            place = next(
                at
                for at in range(0, length, _LABEL_BYTES)
                if wanted[at : at + _LABEL_BYTES] != buffer[at : at + _LABEL_BYTES]
            )
            raise _fake(size_bytes, offset + place, _stamped(buffer[place:], key))


def _places(size_bytes: int) -> list[int]:
    """Return a base and its distances of every power of two, scattered places, and the end."""
    blocks = size_bytes // _LABEL_BYTES
    base = 1 + secrets.randbelow(min(2**_SMALLEST_POWER, size_bytes // 2) // _LABEL_BYTES)
    distances = (2**power // _LABEL_BYTES for power in range(_SMALLEST_POWER, 64))
    powers = [each for each in (base + distance for distance in distances) if each < blocks]
    scattered = [1 + secrets.randbelow(blocks - 1) for _ in range(_SCATTERED_COUNT)]
    places = dict.fromkeys([base, *powers, *scattered, blocks - 1])
    return [each * _LABEL_BYTES for each in places]


def _label(key: bytes, place: int) -> bytes:
    return hashlib.shake_128(key + struct.pack("<Q", place)).digest(_LABEL_BYTES)


def _push_out(handles: Handles, filler: memoryview, offset: int, places: list[int]) -> None:
    """Write what a cache would rather keep than old labels, beside the labels."""
    filler[:_LABEL_BYTES] = secrets.token_bytes(_LABEL_BYTES)
    taken = {place for place in [0, *places] if offset <= place < offset + _CHUNK_BYTES}
    start = offset
    for place in [*sorted(taken), offset + _CHUNK_BYTES]:
        if place > start:
            write_at(handles.writer, filler[: place - start], start)
        start = place + _LABEL_BYTES


def _stamp(chunk: bytearray, key: bytes, offset: int) -> None:
    for at in range(0, len(chunk), _LABEL_BYTES):
        struct.pack_into("<16sQ", chunk, at, key, offset + at)


def _stamped(block: memoryview, key: bytes) -> int | None:
    found, place = struct.unpack_from("<16sQ", block)
    return int(place) if found == key else None


def _chunks(size_bytes: int, stop: Stop) -> Iterator[tuple[int, int]]:
    usable = size_bytes // _LABEL_BYTES * _LABEL_BYTES
    for offset in range(_LABEL_BYTES, usable, _CHUNK_BYTES):
        stop.check("while it was screened; nothing of the image is on it yet")
        yield offset, min(_CHUNK_BYTES, usable - offset)


def _fake(size_bytes: int, place: int, found: int | None) -> FakeCapacityError:
    if found is None:
        what = f"nothing is kept at {place >> 20} MiB"
    else:
        what = f"{place >> 20} MiB and {found >> 20} MiB are the same place"
    return FakeCapacityError(
        f"the card claims {size_bytes >> 20} MiB and has less: {what}; throw it away"
    )
