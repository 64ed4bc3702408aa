"""Remembers the cards that this station has finished, also when its program is started anew.

A card is known by the identity that it was given: no two cards share one, while all cards of an
image begin alike, and so do those of its older versions. A card that has been in use since is none
any more: its first boot grows its partitions, which its first block tells.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from provisioning.flash.block import aligned_buffer, read_at
from provisioning.flash.errors import StationError
from provisioning.flash.fat import Patch
from provisioning.flash.journal import BLOCK_BYTES, append_line
from provisioning.flash.source import Source


class _Finished(Struct, frozen=True, kw_only=True):
    """One card: the image, and where its identity lies (offsets in bytes), with its SHA-256."""

    image: str
    size_bytes: int
    blocks: list[Annotated[int, Meta(ge=BLOCK_BYTES, multiple_of=BLOCK_BYTES)]]
    sha256: str


def remember_finished(
    journals: Path, source: Source, size_bytes: int, identity: Collection[Patch]
) -> None:
    """Keep for good that a card of this identity is finished. Raises StationError.

    Without an identity it is like any other card of its image, and is not remembered.
    """
    if not identity:
        return
    ordered = sorted(identity, key=lambda each: each.offset_bytes)
    note = _Finished(
        image=source.map.key,
        size_bytes=size_bytes,
        blocks=[each.offset_bytes for each in ordered],
        sha256=_sum(each.data for each in ordered),
    )
    # A line before it that was cut off must not take this one with it.
    append_line(_file(journals), b"\n" + msgspec.json.encode(note))


def is_as_finished(journals: Path, source: Source, size_bytes: int, reader: int) -> bool:
    """Tell whether the card behind `reader` is as it was when this station finished it.

    Raises CardError when it cannot be read, StationError when what is remembered cannot.
    """
    known = [
        each
        for each in _notes(_file(journals))
        if each.image == source.map.key and each.size_bytes == size_bytes
    ]
    if not known or not _begins_as(source, reader):
        return False
    blocks = {at: _read(reader, at) for at in {at for each in known for at in each.blocks}}
    return any(_sum(blocks[at] for at in each.blocks) == each.sha256 for each in known)


def _file(journals: Path) -> Path:
    return journals.with_name(f"{journals.name}-finished.jsonl")


def _notes(file: Path) -> Iterator[_Finished]:
    try:
        lines = file.read_bytes().splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise StationError(
            f"{file}: {error.strerror}; it tells which cards are finished: see who may read it"
        ) from error
    for line in lines:
        try:
            yield msgspec.json.decode(line, type=_Finished)
        except msgspec.MsgspecError:
            continue  # empty, or cut off while it was written: that card was not finished either


def _begins_as(source: Source, reader: int) -> bool:
    first = bytearray(min(BLOCK_BYTES, source.map.image_bytes))
    source.read_into(memoryview(first), 0)
    return _read(reader, 0).startswith(first)


def _read(reader: int, offset_bytes: int) -> bytes:
    buffer = aligned_buffer(BLOCK_BYTES)
    read_at(reader, buffer, offset_bytes)
    return bytes(buffer)


def _sum(blocks: Iterable[bytes]) -> str:
    return hashlib.sha256(b"".join(blocks)).hexdigest()
