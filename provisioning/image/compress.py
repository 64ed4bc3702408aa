"""Compresses an image for those who flash it: frames that can be decoded side by side.

Any zstd decoder reads them as one stream. Frames of 4 MiB make it 3 % larger than one
frame would be, and each fits into a processor's cache while it is decoded.
"""

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from provisioning.image.errors import BuildError
from provisioning.seekable import pack_frame, seek_table

_FRAME_BYTES = 4 * 2**20
_ZSTD_LEVEL = 12


def compress(image: Path) -> Path:
    """Write the image beside itself as .zst, the same whatever machine does it.

    Raises BuildError.
    """
    packed = image.with_name(f"{image.name}.zst")
    try:
        with image.open("rb") as plain, packed.open("wb") as file:
            _write_frames(plain, file)
    except (OSError, ValueError) as error:
        raise BuildError(f"{packed}: cannot be written: {error}; is the disk full?") from error
    return packed


def _write_frames(plain: BinaryIO, file: BinaryIO) -> None:
    """Compress on all processors, write in order; only as much as they work on is in memory."""
    workers = os.cpu_count() or 1
    under_way: deque[tuple[Future[bytes], int]] = deque()
    sizes: list[tuple[int, int]] = []

    def write_oldest() -> None:
        done, plain_bytes = under_way.popleft()
        frame = done.result()
        file.write(frame)
        sizes.append((len(frame), plain_bytes))

    with ThreadPoolExecutor(workers) as pool:
        while piece := plain.read(_FRAME_BYTES):
            if len(under_way) > workers:
                write_oldest()
            under_way.append((pool.submit(pack_frame, piece, _ZSTD_LEVEL), len(piece)))
        while under_way:
            write_oldest()
    file.write(seek_table(sizes))
