"""Packs envelopes into the unit that is written, sent and sacrificed together: a batch."""

import zlib
from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

import msgspec
from msgspec import Struct

from node.messages import Envelope

_PAGE_BYTES = 4096
_PAGE_SHARED_MAX_BYTES = (
    3500  # a larger row spills to overflow pages of its own (SQLite format 1.6)
)
_ROW_OVERHEAD_BYTES = 128
_ENVELOPES = msgspec.json.Decoder(Envelope)


class Rank(IntEnum):
    """What is given up first when room runs out: the higher rank."""

    EVENT = 0
    MEASUREMENT = 1


class Key(NamedTuple):
    """What a batch is known by."""

    boot: str
    first: int


class Batch(Struct, frozen=True, kw_only=True):
    """Envelopes of one boot and rank with sequence numbers `first` to `last`, without holes.

    `body` holds them as JSON lines, deflated (RFC 1950); a JSON text written by us has no line
    break inside. `at` is wall time in seconds since 1970, to be believed only when `synced`.
    """

    rank: Rank
    boot: str
    first: int
    last: int
    at: float
    synced: bool
    body: bytes

    @property
    def key(self) -> Key:
        """Identity of the batch."""
        return Key(self.boot, self.first)

    @property
    def count(self) -> int:
        """Number of envelopes."""
        return self.last - self.first + 1

    @property
    def cost_bytes(self) -> int:
        """Bytes that the batch takes on the card, close enough for a bound."""
        size_bytes = len(self.body) + _ROW_OVERHEAD_BYTES
        if size_bytes <= _PAGE_SHARED_MAX_BYTES:
            return size_bytes
        return -(-size_bytes // _PAGE_BYTES) * _PAGE_BYTES


def pack(envelopes: Iterable[Envelope]) -> bytes:
    """Return envelopes as a batch body: a zlib stream (RFC 1950) and its CRC-32, big-endian.

    The stream's own Adler-32 is weak for short texts: a flipped bit may pass and change a number.
    """
    stream = zlib.compress(b"\n".join(map(msgspec.json.encode, envelopes)), level=1)
    return stream + _checksum(stream)


def unpack(body: bytes) -> list[Envelope]:
    """Return the envelopes of a batch body.

    Raises ValueError when the body is damaged. One of an agent that wrote no checksum has none.
    """
    inflate = zlib.decompressobj()
    try:
        text = inflate.decompress(body)
    except zlib.error as error:
        raise ValueError(f"damaged batch: {error}") from error
    end = inflate.unused_data
    if not inflate.eof or (end and end != _checksum(body[: -len(end)])):
        raise ValueError("damaged batch: it is cut off, or its checksum is another's")
    try:
        return [_ENVELOPES.decode(line) for line in text.split(b"\n")]
    except msgspec.DecodeError as error:
        raise ValueError(f"damaged batch: {error}") from error


def _checksum(stream: bytes) -> bytes:
    return zlib.crc32(stream).to_bytes(4, "big")


def historical(envelopes: Iterable[Envelope]) -> tuple[Envelope, ...]:
    """Return envelopes marked as sent late."""
    return tuple(msgspec.structs.replace(envelope, historical=True) for envelope in envelopes)
