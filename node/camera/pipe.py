"""The words between the camera process and the agent: length-prefixed msgpack on a pipe.

A record is four bytes of length (big-endian) and that many bytes of msgpack. The agent trusts no
length: a record above RECORD_BYTES_MAX ends the conversation.
"""

from collections.abc import Iterator
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta, Struct

from node.errors import CameraError
from node.messages import STILL_BYTES_MAX

RECORD_BYTES_MAX = STILL_BYTES_MAX + 4096
"""Largest record that is written or read."""
SNAPSHOT_REQUEST = b"s"
"""What the agent writes to the camera's standard input for a still at once."""

_LENGTH_BYTES = 4

_Pixels = Annotated[int, Meta(ge=1, le=65_535)]


class Still(Struct, frozen=True, kw_only=True, tag="still"):
    """A public still, masked."""

    jpeg: bytes
    width: _Pixels
    height: _Pixels
    mono: float
    simulated: bool


class Figures(Struct, frozen=True, kw_only=True, tag="figures"):
    """How the camera is doing since its process started."""

    frames_count: Annotated[int, Meta(ge=0)]
    frames_dropped_count: Annotated[int, Meta(ge=0)]
    newest_mono: float
    """CLOCK_MONOTONIC of the newest frame, in seconds."""
    width: _Pixels
    height: _Pixels
    simulated: bool
    masked_ratio: Annotated[float, Meta(ge=0, le=1)]


Record: TypeAlias = Still | Figures

_RECORDS: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)


def encode_record(record: Record) -> bytes:
    """Return `record` with its length in front. Raises CameraError when it is too large."""
    body = msgspec.msgpack.encode(record)
    if len(body) > RECORD_BYTES_MAX:
        raise CameraError(f"record of {len(body)} bytes; at most {RECORD_BYTES_MAX} are sent")
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


class RecordReader:
    """Puts records together again from whatever pieces the pipe gives."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, piece: bytes) -> Iterator[Record]:
        """Yield the records that `piece` completes.

        Raises CameraError at a record that is too large or none; the pipe is of no use then.
        """
        self._buffer += piece
        while len(self._buffer) >= _LENGTH_BYTES:
            length = int.from_bytes(self._buffer[:_LENGTH_BYTES], "big")
            if length > RECORD_BYTES_MAX:
                raise CameraError(
                    f"the camera process announced a record of {length} bytes; at most "
                    f"{RECORD_BYTES_MAX} are read: something else writes to its output"
                )
            end = _LENGTH_BYTES + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_LENGTH_BYTES:end])
            del self._buffer[:end]
            yield _decode(body)


def _decode(body: bytes) -> Record:
    try:
        return _RECORDS.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise CameraError(f"the camera process wrote no record of ours: {error}") from error
