"""Makes the blocks by which a card's FAT differs from the image's: the files of its own seed.

mtools writes the file system, on a copy in memory; nothing here knows FAT but its label. Why not
on the card: mtools would need it through the page cache, and a half-written FAT would be possible.
Why no writer of our own: a FAT that the Pi's firmware misreads is a dead node on a pole. Only the
blocks that came out different go to the card. Files and copy lie in memory (memfd_create(2)), so
that no key and no token touches the station's disk, and none stands in arguments.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack

from msgspec import Struct

from provisioning.flash.block import whole_sectors
from provisioning.flash.errors import ImageError, StationError
from provisioning.flash.frames import write_whole
from provisioning.flash.image_map import Range, spans
from provisioning.flash.journal import BLOCK_BYTES
from provisioning.flash.partitions import SECTOR_BYTES, partitions
from provisioning.flash.source import Source

# Where cloud-init looks: in our image, anywhere (its own label), in Raspberry Pi OS.
LABELS = ("SIMPUL", "CIDATA", "BOOTFS")
_COPY_BYTES = 2**20
_FAT16 = (slice(54, 57), slice(43, 54))  # of FAT12 too
_FAT32 = (slice(82, 85), slice(71, 82))


class Patch(Struct, frozen=True):
    """One block of a card that differs from the image."""

    offset_bytes: int
    data: bytes


class Fat(Struct, frozen=True):
    """A FAT partition of the image."""

    offset_bytes: int
    length_bytes: int
    label: str

    @property
    def blocks(self) -> tuple[int, int]:
        """Return where the whole blocks that it lies in begin and end."""
        start = self.offset_bytes // BLOCK_BYTES * BLOCK_BYTES
        return start, whole_sectors(self.offset_bytes + self.length_bytes)


def find_fat(source: Source, *, label: str = "") -> Fat:
    """Return the FAT that takes the seed: the one labelled so, or by LABELS, or the only one.

    Waits only until the tables and boot sectors that it needs are decoded. Raises ImageError when
    none or several fit.
    """
    try:
        return _find(source, [label.upper()] if label else list(LABELS), or_only=not label)
    except ImageError:
        source.check_kept()  # what was kept may have rotted; then the image is not to blame
        raise


def _find(source: Source, wanted: Sequence[str], *, or_only: bool) -> Fat:
    fats = []
    for part in partitions(source):
        if fat := _fat(source, part):
            if fat.label == wanted[0]:
                return fat  # none can be better: the rest of the image need not be waited for
            fats.append(fat)
    for each in wanted:
        for fat in fats:
            if fat.label == each:
                return fat
    if len(fats) == 1 and or_only:
        return fats[0]
    labels = ", ".join(fat.label or "(none)" for fat in fats)
    raise ImageError(
        f"{source.name}: no FAT labelled {' or '.join(wanted)} to take the seed; "
        f"it has {labels or 'no FAT at all'}"
    )


def seed_patches(source: Source, fat: Fat, files: Mapping[str, bytes]) -> list[Patch]:
    """Return what to write over the image so that `fat` has `files` in its root.

    Raises ImageError when they do not fit, StationError when mtools is missing.
    """
    start, end = fat.blocks
    with ExitStack() as stack:
        copy = _memory(stack, "fat")
        os.ftruncate(copy, end - start)
        for at, length in _mapped(source, start, end):
            write_whole(copy, memoryview(source.piece(at, length)), at - start)
        for name, content in files.items():
            file = _memory(stack, "seed")
            write_whole(file, memoryview(content), 0)
            _mcopy(copy, fat.offset_bytes - start, file, name)
        return list(_changed(source, start, copy))


def _mcopy(copy: int, offset_bytes: int, file: int, name: str) -> None:
    place = f"/proc/self/fd/{copy}@@{offset_bytes}"
    try:
        done = subprocess.run(
            ["mcopy", "-o", "-i", place, f"/proc/self/fd/{file}", f"::{name}"],  # noqa: S607 - where PATH has it
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            pass_fds=(copy, file),
            # Without the check mtools refuses FATs whose size is no whole number of tracks.
            env={**os.environ, "MTOOLS_SKIP_CHECK": "1"},
            # Ctrl-C stops the card where it can go on; mcopy must not end of it as well.
            process_group=0,
        )
    except FileNotFoundError as error:
        raise StationError("mcopy is missing: apt-get install mtools") from error
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip()
        raise ImageError(f"the image's FAT does not take {name}: {reason}")


def _changed(source: Source, start: int, copy: int) -> Iterator[Patch]:
    """Give the blocks of `copy` that are not the image's."""
    for at, length in _filled(copy):
        was, now = source.piece(start + at, length), os.pread(copy, length, at)
        if now == was:
            continue
        for block in range(0, length, BLOCK_BYTES):
            content = now[block : block + BLOCK_BYTES]
            if content != was[block : block + BLOCK_BYTES]:
                yield Patch(start + at + block, content)


def _filled(file: int) -> Iterator[tuple[int, int]]:
    """Give offset and length of what was ever written to a sparse file, in pieces (lseek(2))."""
    end = 0
    while True:
        try:
            at = os.lseek(file, end, os.SEEK_DATA)
        except OSError:  # nothing more
            return
        end = os.lseek(file, at, os.SEEK_HOLE)
        yield from _pieces(at, end)


def _mapped(source: Source, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Give offset and length of what the map has between `start` and `end`, in pieces."""
    for span in spans(source.map.ranges, start, end):
        yield from _pieces(*span)


def _pieces(start: int, end: int) -> Iterator[tuple[int, int]]:
    for at in range(start, end, _COPY_BYTES):
        yield at, min(_COPY_BYTES, end - at)


def _fat(source: Source, part: Range) -> Fat | None:
    """Return the partition as a FAT, by its boot sector (Microsoft's fatgen103), or None."""
    sector = source.piece(part.offset_bytes, SECTOR_BYTES)
    for kind, label in (_FAT16, _FAT32):
        if sector[510:] == b"\x55\xaa" and sector[kind] == b"FAT":
            text = sector[label].decode("ascii", errors="replace").strip().upper()
            return Fat(part.offset_bytes, part.length_bytes, text)
    return None


def _memory(stack: ExitStack, name: str) -> int:
    """Return a file in memory, gone with the stack."""
    descriptor = os.memfd_create(name)
    stack.callback(os.close, descriptor)
    return descriptor
