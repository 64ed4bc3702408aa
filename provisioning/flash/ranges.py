"""Writes the ranges of an image to a card and reads each back while the next is being written.

A writer and a verifier, each with one buffer. The first block of the image is left out: whoever
calls writes it once everything else is known to be good.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from msgspec import Struct

from node.messages import SimpulError
from provisioning.flash.block import aligned_buffer, flush, read_at, whole_sectors, write_at
from provisioning.flash.errors import CardError, ImageError, StoppedError
from provisioning.flash.image_map import Range
from provisioning.flash.journal import BLOCK_BYTES
from provisioning.flash.progress import Progress
from provisioning.flash.source import Source

CHUNK_BYTES = 2 * 2**20
# Each one flushes the card and the journal; more often they would pace the cards.
_CHECKPOINT_SECONDS = 1.0


class Handles(Struct, frozen=True):
    """Two descriptors of one card (or file): one to write, and a fresh one to read back."""

    writer: int
    reader: int


class _Written:
    """How far the writer is, for the verifier to follow; the first error of either ends both."""

    def __init__(self) -> None:
        self._to_bytes = 0
        self._error: SimpulError | OSError | None = None
        self._changed = threading.Condition()

    def advance(self, to_bytes: int) -> None:
        """Say that everything before `to_bytes` is written."""
        with self._changed:
            self._to_bytes = to_bytes
            self._changed.notify_all()

    def fail(self, error: SimpulError | OSError) -> None:
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
    stop: threading.Event
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
        try:
            _verify(work, todo, note)
        except (SimpulError, OSError) as error:
            work.written.fail(error)

    verifier = threading.Thread(target=verify, name="verify", daemon=True)
    verifier.start()
    try:
        for number in todo:
            _write(work, ranges[number], probe=bool(finished))
    except (SimpulError, OSError) as error:
        work.written.fail(error)
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


def _write(work: Work, part: Range, *, probe: bool) -> None:
    """Write one range. With `probe`, as far as the card has it already it is not written again."""
    buffer = aligned_buffer(CHUNK_BYTES)
    there = aligned_buffer(CHUNK_BYTES) if probe else buffer
    for offset, length in _pieces(part):
        if work.stop.is_set():
            raise StoppedError("stopped; put it in again and flash it: it goes on from there")
        work.written.check()
        work.source.read_into(buffer[:length], offset)
        size = whole_sectors(length)
        buffer[length:size] = bytes(size - length)
        start = BLOCK_BYTES if offset == 0 else 0
        if probe:
            read_at(work.handles.reader, there[:size], offset)
            probe = there[start:size] == buffer[start:size]
        if not probe and size > start:
            write_at(work.handles.writer, buffer[start:size], offset + start)
        work.progress.wrote(length)
        work.written.advance(offset + length)


def _verify(work: Work, todo: list[int], note: Callable[[list[int]], None]) -> None:
    """Read back every range behind the writer; compare its SHA-256 with the map's."""
    buffer = aligned_buffer(CHUNK_BYTES)
    pending: list[int] = []
    noted_mono = time.monotonic()
    for number in todo:
        part = work.source.map.ranges[number]
        sha256 = hashlib.sha256()
        for offset, length in _pieces(part):
            work.written.wait(offset + length)
            size, start = whole_sectors(length), 0
            if offset == 0:  # not on the card yet
                work.source.read_into(buffer[: min(BLOCK_BYTES, length)], 0)
                start = BLOCK_BYTES
            if size > start:
                read_at(work.handles.reader, buffer[start:size], offset + start)
            sha256.update(buffer[:length])
            work.progress.verified(length)
        if sha256.hexdigest() != part.sha256:
            raise _differs(work.source, part)
        pending.append(number)
        if time.monotonic() - noted_mono >= _CHECKPOINT_SECONDS or number == todo[-1]:
            flush(work.handles.writer)
            note(pending)
            pending, noted_mono = [], time.monotonic()


def _differs(source: Source, part: Range) -> SimpulError:
    """Return whose fault it is that a range read back is not what the map says."""
    if not source.is_intact(part):
        return ImageError(
            f"{source.name}: damaged between byte {part.offset_bytes} and {part.end_bytes}; "
            "copy or build the image again"
        )
    return CardError(
        f"the card gives back something else than was written between {part.offset_bytes >> 20} "
        f"and {part.end_bytes >> 20} MiB; throw it away"
    )


def _pieces(part: Range) -> Iterator[tuple[int, int]]:
    for offset in range(part.offset_bytes, part.end_bytes, CHUNK_BYTES):
        yield offset, min(CHUNK_BYTES, part.end_bytes - offset)
