"""Writes the ranges of an image to a card and reads each back while the next is being written.

A writer and a verifier, each with two requests under way. The first block of the image is left
out: whoever calls writes it once everything else is known to be good.
"""

import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from msgspec import Struct

from node.messages import SimpulError
from provisioning.fault import handing_on
from provisioning.flash.block import (
    aligned_buffer,
    check_medium,
    flush,
    read_at,
    whole_sectors,
    write_at,
)
from provisioning.flash.device import Device
from provisioning.flash.errors import CardError
from provisioning.flash.image_map import Range
from provisioning.flash.journal import BLOCK_BYTES
from provisioning.flash.lanes import LANES_COUNT, Lanes
from provisioning.flash.progress import Progress
from provisioning.flash.source import Source
from provisioning.flash.stop import Stop

CHUNK_BYTES = 2**20
# Each one flushes the card and the journal; more often they would pace the cards.
_CHECKPOINT_SECONDS = 1.0
_UnderWay = tuple[Future[None], int, int]
_Ahead = tuple[Future[None], memoryview]


class Handles(Struct, frozen=True):
    """Two descriptors of one card (or file): one to write, and a fresh one to read back.

    `device` is the card as it was confirmed; None for a file, which nobody can swap.
    """

    writer: int
    reader: int
    device: Device | None = None

    def check_medium(self) -> None:
        """See that no other card is in the reader by now. Raises CardError."""
        if self.device:
            check_medium(self.device, self.writer)


class _Written:
    """How far the writer is, for the verifier to follow; the first error of either ends both."""

    def __init__(self) -> None:
        self._to_bytes = 0
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    def advance(self, to_bytes: int) -> None:
        """Say that everything before `to_bytes` is written."""
        with self._changed:
            self._to_bytes = to_bytes
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """End both sides; the first error stands."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()

    def wait(self, to_bytes: int) -> None:
        """Wait until everything before `to_bytes` is written. Raises the error of either side."""
        with self._changed:
            self._changed.wait_for(lambda: self._error or self._to_bytes >= to_bytes)
        self.check()

    def check(self) -> None:
        """Raise the error of either side, if any."""
        if self._error:
            raise self._error


@dataclass(frozen=True, slots=True)
class Work:
    """What the writer and the verifier of one card share."""

    source: Source
    handles: Handles
    progress: Progress
    stop: Stop
    written: _Written = field(default_factory=_Written)


def write_ranges(
    work: Work, *, finished: Collection[int], note: Callable[[list[int]], None]
) -> None:
    """Write and verify every range that is not `finished`; `note` hears which are kept for good.

    Raises CardError, ImageError, StoppedError.
    """
    ranges = work.source.map.ranges
    todo = [number for number in range(len(ranges)) if number not in finished]
    resumed_bytes = sum(ranges[number].length_bytes for number in finished)
    work.progress.resume(resumed_bytes)

    def verify() -> None:
        with suppress(SimpulError, OSError), handing_on(work.written.fail):
            _verify(work, todo, note)

    verifier = threading.Thread(target=verify, name="verify", daemon=True)
    verifier.start()
    try:
        with suppress(SimpulError, OSError), handing_on(work.written.fail):
            _write(work, [ranges[number] for number in todo], probe=bool(finished))
    finally:
        verifier.join()
    work.written.check()


def expect(handles: Handles, wanted: memoryview, offset_bytes: int) -> None:
    """Read whole sectors back and compare them. Raises CardError."""
    buffer = aligned_buffer(len(wanted))
    read_at(handles.reader, buffer, offset_bytes)
    if hashlib.sha256(buffer).digest() != hashlib.sha256(wanted).digest():
        raise CardError(
            f"the card gives back something else than was written at byte {offset_bytes} "
            f"({offset_bytes >> 20} MiB); throw it away"
        )


def _write(work: Work, ranges: Iterable[Range], *, probe: bool) -> None:
    """Write ranges. With `probe`, as far as the card has them already they are not written again.

    The first piece that differs ends it: they were written in this order.
    """
    there = aligned_buffer(CHUNK_BYTES)
    under_way: deque[_UnderWay] = deque()

    def await_oldest() -> None:
        done, offset, length = under_way.popleft()
        done.result()
        work.progress.wrote(length)
        work.written.advance(offset + length)

    with Lanes(CHUNK_BYTES) as lanes:
        for part in ranges:
            for offset, length in _pieces(part):
                work.stop.check()
                work.written.check()
                while len(under_way) >= LANES_COUNT:
                    await_oldest()
                wanted = _wanted(work.source, lanes.buffer(), offset, length)
                work.handles.check_medium()  # the image may have been waited for
                if probe:
                    read_at(work.handles.reader, there[: len(wanted)], offset)
                    start = _start(offset)
                    probe = there[start : len(wanted)] == wanted[start:]
                request = _nothing if probe else partial(_write_one, work, wanted, offset)
                under_way.append((lanes.start(request), offset, length))
        while under_way:
            await_oldest()


def _wanted(source: Source, buffer: memoryview, offset: int, length: int) -> memoryview:
    """Fill the buffer with what belongs there, in whole sectors."""
    source.read_into(buffer[:length], offset)
    size = whole_sectors(length)
    buffer[length:size] = bytes(size - length)
    return buffer[:size]


def _write_one(work: Work, wanted: memoryview, offset: int) -> None:
    start = _start(offset)
    if len(wanted) > start:
        write_at(work.handles.writer, wanted[start:], offset + start)


def _start(offset: int) -> int:
    """Return how much of a piece is left out: the first block of the image comes last."""
    return BLOCK_BYTES if offset == 0 else 0


def _nothing() -> None:
    """Stand in the queue for what the card has already."""


def _verify(work: Work, todo: list[int], note: Callable[[list[int]], None]) -> None:
    """Read back every range behind the writer; compare its SHA-256 with the map's."""
    pending: list[int] = []
    noted_mono = time.monotonic()
    with Lanes(CHUNK_BYTES) as lanes:
        pieces = _read_ahead(work, todo, lanes)
        for number in todo:
            part = work.source.map.ranges[number]
            sha256 = hashlib.sha256()
            for _ in _pieces(part):
                piece = next(pieces)
                sha256.update(piece)
                work.progress.verified(len(piece))
            if sha256.hexdigest() != part.sha256:
                raise _differs(work.source, part)
            pending.append(number)
            if time.monotonic() - noted_mono >= _CHECKPOINT_SECONDS or number == todo[-1]:
                flush(work.handles.writer)
                note(pending)
                pending, noted_mono = [], time.monotonic()


def _read_ahead(work: Work, todo: list[int], lanes: Lanes) -> Iterator[memoryview]:
    """Give every piece as the card has it; the next is being read meanwhile."""
    ahead: _Ahead | None = None
    for number in todo:
        for offset, length in _pieces(work.source.map.ranges[number]):
            buffer = lanes.buffer()
            done = lanes.start(partial(_read_one, work, buffer, offset, length))
            if ahead:
                ahead[0].result()
                yield ahead[1]
            ahead = (done, buffer[:length])
    if ahead:
        ahead[0].result()
        yield ahead[1]


def _read_one(work: Work, buffer: memoryview, offset: int, length: int) -> None:
    work.written.wait(offset + length)
    size, start = whole_sectors(length), _start(offset)
    if start:  # not on the card yet
        work.source.read_into(buffer[: min(start, length)], 0)
    if size > start:
        read_at(work.handles.reader, buffer[start:size], offset + start)


def _differs(source: Source, part: Range) -> SimpulError:
    """Return whose fault it is that a range read back is not what the map says."""
    if damage := source.damage_in(part):
        return damage
    return CardError(
        f"the card gives back something else than was written between {part.offset_bytes >> 20} "
        f"and {part.end_bytes >> 20} MiB; throw it away"
    )


def _pieces(part: Range) -> Iterator[tuple[int, int]]:
    for offset in range(part.offset_bytes, part.end_bytes, CHUNK_BYTES):
        yield offset, min(CHUNK_BYTES, part.end_bytes - offset)
