"""Reads a block map: which ranges of an image hold data, and the SHA-256 of each.

Format: bmaptool's XML, versions 1.3 to 2.0 (bmap-tools, docs of `bmaptool create`): ranges of block
numbers, both ends included, in ascending order; BmapFileChecksum is the SHA-256 of the file with
that very field written as zeros.
"""

import hashlib
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

from msgspec import Struct

from provisioning.flash.errors import ImageError

MAP_BYTES_MAX = 64 * 2**20
WHOLE_RANGE_BYTES = 64 * 2**20
_BLOCK_BYTES_MAX = 2**20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RANGE = re.compile(r"(\d{1,15})(?:-(\d{1,15}))?")


class Range(Struct, frozen=True):
    """A run of bytes of the image that holds data; `sha256` is empty when the map gives none."""

    offset_bytes: int
    length_bytes: int
    sha256: str = ""

    @property
    def end_bytes(self) -> int:
        """Return where the range ends, exclusive."""
        return self.offset_bytes + self.length_bytes


Span = tuple[int, int]
"""Start and end (exclusive) in the image, in bytes."""


class ImageMap(Struct, frozen=True, kw_only=True):
    """The ranges of an image, ascending and apart."""

    image_bytes: int
    ranges: tuple[Range, ...]

    @property
    def mapped_bytes(self) -> int:
        """Return how much there is to write."""
        return sum(each.length_bytes for each in self.ranges)

    @property
    def key(self) -> str:
        """Return a name of the content: the same for the same ranges with the same checksums."""
        text = ",".join(
            f"{each.offset_bytes}+{each.length_bytes}={each.sha256}" for each in self.ranges
        )
        return hashlib.sha256(f"{self.image_bytes}:{text}".encode()).hexdigest()

    @property
    def has_sums(self) -> bool:
        """Tell whether every range has its checksum."""
        return all(each.sha256 for each in self.ranges)


def spans(ranges: Sequence[Range], start_bytes: int, end_bytes: int) -> Iterator[Span]:
    """Give what ascending ranges have between two offsets of the image."""
    first = bisect_right(ranges, start_bytes, key=lambda each: each.end_bytes)
    for part in ranges[first:]:
        if part.offset_bytes >= end_bytes:
            return
        yield max(part.offset_bytes, start_bytes), min(part.end_bytes, end_bytes)


def read_map(file: Path) -> ImageMap:
    """Return the map in `file`. Raises ImageError."""
    try:
        if file.stat().st_size > MAP_BYTES_MAX:
            raise ImageError(f"{file}: larger than any block map; is it one?")
        text = file.read_bytes()
    except OSError as error:
        raise ImageError(f"{file}: {error.strerror}") from error
    return parse_map(text, str(file))


def parse_map(text: bytes, name: str) -> ImageMap:
    """Return the map that `text` holds; `name` stands in messages. Raises ImageError."""
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise ImageError(f"{name}: a block map declares no document type; make it anew")
    try:
        root = ET.fromstring(text)  # noqa: S314 - no entity can be declared, as checked above
    except (ET.ParseError, ValueError, LookupError) as error:
        raise ImageError(f"{name}: no block map of bmaptool: {error}") from error
    if root.tag != "bmap":
        raise ImageError(f"{name}: no block map of bmaptool: it begins with <{root.tag}>")
    _check_own_sum(root, text, name)
    image_bytes = _number(root, "ImageSize", name)
    block_bytes = _number(root, "BlockSize", name)
    if not 0 < block_bytes <= _BLOCK_BYTES_MAX or block_bytes % 512:
        raise ImageError(f"{name}: BlockSize {block_bytes} is no whole number of sectors")
    with_sums = (root.findtext("ChecksumType") or "").strip() == "sha256"
    ranges = tuple(
        _range(element, (block_bytes, image_bytes), name, with_sums=with_sums)
        for element in root.iterfind("BlockMap/Range")
    )
    if any(before.end_bytes > after.offset_bytes for before, after in pairwise(ranges)):
        raise ImageError(f"{name}: its ranges overlap or are out of order; make it anew")
    if not ranges or ranges[0].offset_bytes != 0:
        raise ImageError(f"{name}: the image's first block holds nothing; nothing would boot it")
    return ImageMap(image_bytes=image_bytes, ranges=ranges)


def whole_map(image_bytes: int) -> ImageMap:
    """Return the map of an image that has none: everything, in ranges of WHOLE_RANGE_BYTES."""
    offsets = range(0, image_bytes, WHOLE_RANGE_BYTES)
    return ImageMap(
        image_bytes=image_bytes,
        ranges=tuple(
            Range(offset, min(WHOLE_RANGE_BYTES, image_bytes - offset)) for offset in offsets
        ),
    )


def _check_own_sum(root: ET.Element, text: bytes, name: str) -> None:
    own = (root.findtext("BmapFileChecksum") or "").strip()
    if own and hashlib.sha256(text.replace(own.encode(), b"0" * len(own))).hexdigest() != own:
        raise ImageError(f"{name}: damaged: its own checksum does not match; copy it again")


def _range(element: ET.Element, sizes: tuple[int, int], name: str, *, with_sums: bool) -> Range:
    block_bytes, image_bytes = sizes
    text = (element.text or "").strip()
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ImageError(f"{name}: {text!r} is no range of blocks")
    first, last = int(match[1]), int(match[2] or match[1])
    offset, end = first * block_bytes, min((last + 1) * block_bytes, image_bytes)
    if last < first or end <= offset:
        raise ImageError(f"{name}: the range {text} lies outside the image")
    sha256 = element.get("chksum", "") if with_sums else ""
    if sha256 and not _SHA256.fullmatch(sha256):
        raise ImageError(f"{name}: {sha256!r} is no SHA-256")
    return Range(offset, end - offset, sha256)


def _number(root: ET.Element, tag: str, name: str) -> int:
    text = (root.findtext(tag) or "").strip()
    if not re.fullmatch(r"\d{1,18}", text) or int(text) == 0:
        raise ImageError(f"{name}: {tag} is {text!r}, not a number of bytes")
    return int(text)
