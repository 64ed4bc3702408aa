"""Decodes the frames of a seekable image side by side, and passes over those that hold nothing.

Its memory is bounded: for each worker one frame, packed and plain. Frames end in any order; the
readers hear of them in the image's.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue

from provisioning.flash.image_map import Range, Span, spans
from provisioning.seekable import Frame, unpack_frame

WORKERS_COUNT_MAX = 4


def decode_frames(
    frames: Iterable[Frame],
    ranges: Sequence[Range],
    *,
    packed: int,
    plain: int,
    advance: Callable[[int], bool],
) -> bool:
    """Decode what `ranges` need from the descriptor `packed` to `plain`, at the same offsets.

    `advance` hears up to where everything is there; False, from it and from here, ends it early.
    Raises ValueError, OSError.
    """
    parts = ((frame, list(_of_frame(frame, ranges))) for frame in frames)
    wanted = [(frame, needed) for frame, needed in parts if needed]
    workers = min(os.cpu_count() or 1, WORKERS_COUNT_MAX)
    size = max((frame.plain_bytes for frame, _ in wanted), default=0)
    buffers: SimpleQueue[memoryview] = SimpleQueue()
    for _ in range(workers):
        buffers.put(memoryview(bytearray(size)))
    under_way: deque[tuple[Future[None], int]] = deque()
    pool = ThreadPoolExecutor(workers, "frame")
    try:
        for frame, needed in wanted:
            if len(under_way) > workers and not advance(_oldest(under_way)):
                return False
            work = partial(_decode, frame, needed, packed, plain, buffers)
            under_way.append((pool.submit(work), needed[-1][1]))
        while under_way:
            if not advance(_oldest(under_way)):
                return False
    finally:
        pool.shutdown(cancel_futures=True)
    return True


def _oldest(under_way: deque[tuple[Future[None], int]]) -> int:
    """Wait for the first; return where it ends."""
    done, end = under_way.popleft()
    done.result()
    return end


def _of_frame(frame: Frame, ranges: Sequence[Range]) -> Iterator[Span]:
    """Give what the frame holds of the ranges."""
    start = frame.plain_offset_bytes
    return spans(ranges, start, start + frame.plain_bytes)


def _decode(
    frame: Frame, needed: Iterable[Span], packed: int, plain: int, buffers: SimpleQueue[memoryview]
) -> None:
    data = os.pread(packed, frame.packed_bytes, frame.packed_offset_bytes)
    buffer = buffers.get()
    try:
        unpack_frame(data, buffer[: frame.plain_bytes])
        for start, end in needed:
            at = frame.plain_offset_bytes
            write_whole(plain, buffer[start - at : end - at], start)
    finally:
        buffers.put(buffer)


def write_whole(descriptor: int, data: memoryview, offset_bytes: int) -> None:
    """Write all of `data` at an offset. Raises OSError."""
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], offset_bytes + done)
