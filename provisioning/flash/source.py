"""Decodes an image once, for any number of cards that read it each at its own pace.

The plain bytes of the mapped ranges go to a file on the station's disk, which is kept: a card that
is slow, comes later or is resumed reads them there, and the next batch needs no decoding at all.
So no card waits for another, and the memory needed does not grow with the slowest one; the page
cache, not this process, decides what stays in memory. Nothing of that file is trusted: every range
written from it is compared, as read back from the card, with the SHA-256 of the image's own map,
and it is kept only once a card has passed.
"""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import BinaryIO, Self

from provisioning.fault import handing_on
from provisioning.flash.decode import DECODE_ERRORS, Plain, decoded, is_compressed
from provisioning.flash.errors import ImageError
from provisioning.flash.frames import decode_frames, write_whole
from provisioning.flash.image_map import ImageMap, Range, read_map, spans, whole_map
from provisioning.flash.kept import drop, keep, kept_name, new_file, open_kept
from provisioning.seekable import Frame, read_frames

_CHUNK_BYTES = 2**20
_ENDLESS = 2**62


def map_beside(image: Path) -> Path | None:
    """Return the block map beside `image`, named as bmaptool finds it; None when there is none."""
    if not image.name:
        return None  # "." or "/", whose suffix nothing can take
    bare = image.with_suffix("")
    candidates = (f"{image}.bmap", f"{bare}.bmap", f"{bare.with_suffix('')}.bmap")
    return next((Path(each) for each in candidates if _is_file(Path(each))), None)


def _is_file(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:
        return False  # where one may not look; opening the image says why


class Source:
    """The plain image. Any number of threads may read it at once."""

    def __init__(self, packed: BinaryIO, plain: BinaryIO, image_map: ImageMap) -> None:
        """Read from `plain`; `packed` is the image as it was given. Nothing can be read yet."""
        self.name = str(packed.name)
        self.map = image_map
        self.keep_as: Path | None = None
        self.is_kept = False
        self.moved_mono = time.monotonic()
        self._packed = packed
        self._plain = plain
        self._frontier_bytes = 0
        self._sha256 = ""
        self._error: ImageError | None = None
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def decoded_bytes(self) -> int:
        """Return how far the image can be read, counted from its start."""
        return min(self._frontier_bytes, self.map.image_bytes)

    @property
    def _is_whole(self) -> bool:
        return self._frontier_bytes >= _ENDLESS

    def read_into(self, buffer: memoryview, offset_bytes: int) -> None:
        """Fill `buffer` from `offset_bytes` of the image; wait until that much is decoded.

        Only mapped ranges hold what the image holds. Raises ImageError when it is damaged.
        """
        end = offset_bytes + len(buffer)
        with self._changed:
            self._changed.wait_for(lambda: self._frontier_bytes >= end or self._error is not None)
            if self._frontier_bytes < end and self._error is not None:
                raise self._error
        done = 0
        while done < len(buffer):
            at = offset_bytes + done
            try:
                count = os.preadv(self._plain.fileno(), [buffer[done:]], at)
            except OSError as error:
                raise self.blame(f"cannot be read at byte {at}: {error.strerror}") from error
            if count == 0:
                raise self.blame(f"ends early, at byte {at}")
            done += count

    def piece(self, offset_bytes: int, length_bytes: int) -> bytearray:
        """Return a piece of the image, zeros where the map has nothing.

        Waits, and raises, as `read_into`.
        """
        piece = bytearray(length_bytes)
        end = offset_bytes + length_bytes
        for start, stop in spans(self.map.ranges, offset_bytes, end):
            self.read_into(memoryview(piece)[start - offset_bytes : stop - offset_bytes], start)
        return piece

    def is_intact(self, part: Range) -> bool:
        """Tell whether `part`, as decoded on the station, is what the map says."""
        sha256 = hashlib.sha256()
        buffer = memoryview(bytearray(_CHUNK_BYTES))
        for offset in range(part.offset_bytes, part.end_bytes, _CHUNK_BYTES):
            piece = buffer[: min(_CHUNK_BYTES, part.end_bytes - offset)]
            self.read_into(piece, offset)
            sha256.update(piece)
        return sha256.hexdigest() == part.sha256

    def check_kept(self) -> None:
        """Look through plain bytes that were kept from before. Raises ImageError."""
        for part in self.map.ranges if self.is_kept else ():
            if damage := self.damage_in(part):
                raise damage

    def damage_in(self, part: Range) -> ImageError | None:
        """Return what to raise when `part` as decoded is not what the map says, else None."""
        if self.is_intact(part):
            return None
        return self.blame(f"damaged between byte {part.offset_bytes} and {part.end_bytes}")

    def sha256(self) -> str:
        """Wait for and return the SHA-256 of the image as given; empty when it cannot be read.

        It may be gone by then, with the stick that it lies on: good cards are good all the same.
        """
        with self._changed:
            self._changed.wait_for(lambda: (self._sha256 and self._is_whole) or self._error)
            return "" if self._error else self._sha256

    def trust(self) -> None:
        """Keep the plain bytes for the next time: a card that was read back has proven them."""
        if self.keep_as and not self.is_kept and keep(self._plain, self.keep_as):
            self.is_kept = True

    def blame(self, what: str) -> ImageError:
        """Return the error that says what is wrong with the plain bytes; forget kept ones."""
        if not self.keep_as or not self.is_kept:
            return ImageError(f"{self.name}: {what}; copy or build the image anew")
        if reason := drop(self.keep_as):
            return ImageError(
                f"{self.keep_as}: {what}; it is only a decoded copy, but cannot be removed: "
                f"{reason}; remove it, or name another folder with --cache"
            )
        return ImageError(f"{self.keep_as}: {what}; it was only a decoded copy: flash again")

    def start(self, *works: Callable[["Source"], None]) -> Self:
        """Run `works`, which advance this source, beside everything else."""
        for work in works:
            target = partial(self._work, work)
            thread = threading.Thread(target=target, name="source", daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def _work(self, work: Callable[["Source"], None]) -> None:
        def tell(error: BaseException) -> None:
            self.fail(ImageError(f"{self.name}: cannot be read: {type(error).__name__}: {error}"))

        with handing_on(tell):
            work(self)

    def advance(self, frontier_bytes: int = _ENDLESS) -> bool:
        """Say that the image can be read up to there. False when nobody wants more of it."""
        with self._changed:
            self._frontier_bytes = frontier_bytes
            self.moved_mono = time.monotonic()
            self._changed.notify_all()
        return not self._closing.is_set()

    def fail(self, error: ImageError) -> None:
        """Say that the image cannot be read; the first error stands."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()

    def close(self) -> None:
        """Stop decoding and let go of the files."""
        self._closing.set()
        for thread in self._threads:
            thread.join()
        self._packed.close()
        self._plain.close()

    def decode(self) -> None:
        """Decode the mapped ranges into the plain file."""
        try:
            frames = read_frames(self._packed)
            if frames:
                self._decode_frames(frames)
            else:
                self._decode_ranges(decoded(self._packed))
        except DECODE_ERRORS as error:
            reason = f"{self.name}: damaged: {error}; copy or build the image again"
            self.fail(ImageError(reason))

    def hash_packed(self) -> None:
        """Compute the SHA-256 of the image as given; only the register waits for it."""
        sha256 = hashlib.sha256()
        buffer = memoryview(bytearray(_CHUNK_BYTES))
        at = 0
        try:
            while count := os.preadv(self._packed.fileno(), [buffer], at):
                if self._closing.is_set():
                    return
                sha256.update(buffer[:count])
                at += count
        except OSError as error:
            self.fail(ImageError(f"{self.name}: {error.strerror}"))
            return
        with self._changed:
            self._sha256 = sha256.hexdigest()
            self._changed.notify_all()

    def _decode_frames(self, frames: Sequence[Frame]) -> None:
        last = frames[-1]
        if last.plain_offset_bytes + last.plain_bytes < self.map.ranges[-1].end_bytes:
            raise EOFError("it ends early")
        if decode_frames(
            frames,
            self.map.ranges,
            packed=self._packed.fileno(),
            plain=self._plain.fileno(),
            advance=self.advance,
        ):
            self.advance()

    def _decode_ranges(self, stream: Plain) -> None:
        buffer = memoryview(bytearray(_CHUNK_BYTES))
        at = 0
        for part in self.map.ranges:
            for start, end, wanted in (
                (at, part.offset_bytes, False),
                (part.offset_bytes, part.end_bytes, True),
            ):
                for offset in range(start, end, _CHUNK_BYTES):
                    piece = buffer[: min(_CHUNK_BYTES, end - offset)]
                    _fill(stream, piece)
                    if wanted:
                        write_whole(self._plain.fileno(), piece, offset)
                        if not self.advance(offset + len(piece)):
                            return
            at = part.end_bytes
        self.advance()


def open_source(image: Path, *, cache: Path, map_file: Path | None = None) -> Source:
    """Open an image, plain or compressed, with its map or, without one, as a whole.

    Raises ImageError, and StationError when the station's disk has no room for the plain bytes.
    """
    map_file = map_file or map_beside(image)
    image_map = read_map(map_file) if map_file else None
    with ExitStack() as files:
        try:
            packed = files.enter_context(image.open("rb"))
            compressed = is_compressed(packed)
        except OSError as error:
            raise ImageError(f"{image}: {error.strerror}; name the image's file") from error
        if image_map is None or not image_map.has_sums:
            plain = _decode_all(packed, cache) if compressed else image.open("rb")
            files.enter_context(plain)
            packed.seek(0)
            source = Source(packed, plain, _summed(plain, image_map))
            source.advance()
        elif compressed:
            source = _open_compressed(files, packed, image_map, cache)
        else:
            if os.fstat(packed.fileno()).st_size != image_map.image_bytes:
                raise ImageError(f"{image}: not the image that {map_file} describes: another size")
            source = Source(packed, files.enter_context(image.open("rb")), image_map)
            source.advance()
        files.pop_all()  # the source closes them from here on
    return source.start(Source.hash_packed)


def _open_compressed(
    files: ExitStack, packed: BinaryIO, image_map: ImageMap, cache: Path
) -> Source:
    name, size_bytes = kept_name(cache, image_map.key), image_map.image_bytes
    if kept := open_kept(name, size_bytes):
        source = Source(packed, files.enter_context(kept), image_map)
        source.is_kept = True
        source.advance()
    else:
        plain = new_file(cache, size_bytes, needed_bytes=image_map.mapped_bytes)
        source = Source(packed, files.enter_context(plain), image_map).start(Source.decode)
    source.keep_as = name
    return source


def _fill(stream: Plain, buffer: memoryview) -> None:
    done = 0
    while done < len(buffer):
        count = stream.readinto(buffer[done:])
        if not count:
            raise EOFError("it ends early")
        done += count


def _decode_all(packed: BinaryIO, cache: Path) -> BinaryIO:
    plain = new_file(cache, 0, needed_bytes=os.fstat(packed.fileno()).st_size)
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    at = 0
    try:
        stream = decoded(packed)
        while count := stream.readinto(buffer):
            write_whole(plain.fileno(), buffer[:count], at)
            at += count
    except DECODE_ERRORS as error:
        plain.close()
        raise ImageError(
            f"{packed.name}: cannot be decoded: {error}; is it whole, and the disk not full?"
        ) from error
    return plain


def _summed(plain: BinaryIO, image_map: ImageMap | None) -> ImageMap:
    """Return the map, or one of the whole file, with checksums. Raises ImageError."""
    size = os.fstat(plain.fileno()).st_size
    if size == 0:
        raise ImageError(f"{plain.name}: empty; build the image again")
    bare = image_map or whole_map(size)
    ranges = [
        Range(each.offset_bytes, each.length_bytes, _sum_of(plain, each)) for each in bare.ranges
    ]
    return ImageMap(image_bytes=bare.image_bytes, ranges=tuple(ranges))


def _sum_of(plain: BinaryIO, part: Range) -> str:
    sha256 = hashlib.sha256()
    for offset in range(part.offset_bytes, part.end_bytes, _CHUNK_BYTES):
        wanted = min(_CHUNK_BYTES, part.end_bytes - offset)
        try:
            piece = os.pread(plain.fileno(), wanted, offset)
        except OSError as error:
            raise ImageError(f"{plain.name}: {error.strerror}, at byte {offset}") from error
        if len(piece) < wanted:
            raise ImageError(f"{plain.name}: ends early, at byte {offset + len(piece)}")
        sha256.update(piece)
    return sha256.hexdigest()
