"""The envelope around every measurement: who said it, when, and which one in the row it is."""

from datetime import datetime
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from node.messages.topics import NODE_NAME_PATTERN

PAYLOAD_BYTES_MAX = 262_144
"""Largest JSON payload that is decoded; a longer one is refused unread."""

_T = TypeVar("_T")


class SimpulError(Exception):
    """Base of every error that Simpul raises on purpose."""


class MessageError(SimpulError, ValueError):
    """A payload or topic does not follow the contract."""


class Envelope(Struct, frozen=True, kw_only=True):
    """One message of a node.

    `seq` counts measurements and events from 1 without holes within a boot; a message outside of
    that row (state, reply) has 0.
    """

    node: Annotated[
        str, Meta(pattern=NODE_NAME_PATTERN, max_length=63, description="Name of the node.")
    ]
    boot: Annotated[
        str,
        Meta(
            pattern="^[0-9a-f]{16}$",
            max_length=16,
            description="Identity of one run of the agent: 16 random hexadecimal digits.",
        ),
    ]
    seq: Annotated[
        int,
        Meta(
            ge=0,
            le=2**63 - 1,
            description="Position within the boot, from 1, without holes; 0 outside of the row.",
        ),
    ]
    at: Annotated[
        datetime,
        Meta(tz=True, description="Wall time of the measurement, RFC 3339, UTC; see clock_synced."),
    ]
    mono: Annotated[
        float,
        Meta(description="Monotonic clock of the node at the measurement, in seconds."),
    ]
    clock_synced: Annotated[
        bool,
        Meta(description="Whether a time source disciplined the wall time; if not, distrust at."),
    ]
    historical: Annotated[
        bool, Meta(description="True when sent late: from the backlog or as a replay.")
    ]
    kind: Annotated[
        str,
        Meta(
            pattern="^[a-z]+(/[a-z][a-z0-9-]*)?$",
            max_length=63,
            description="What data is; the topic below the node.",
        ),
    ]
    data: Annotated[msgspec.Raw, Meta(description="The message itself, described by its kind.")]


class Seqs(Struct, frozen=True, kw_only=True):
    """A closed range of sequence numbers of one boot."""

    first: Annotated[int, Meta(ge=1, le=2**63 - 1, description="First sequence number.")]
    last: Annotated[int, Meta(ge=1, le=2**63 - 1, description="Last sequence number, included.")]


_ENVELOPES = msgspec.json.Decoder(Envelope)


def encode(message: Struct) -> bytes:
    """Return `message` as compact UTF-8 JSON, fields in their declared order."""
    return msgspec.json.encode(message)


def decode_envelope(payload: bytes) -> Envelope:
    """Read the envelope of a payload; `data` stays undecoded.

    Unknown fields are skipped, so that an older hub understands a newer node.
    Raises MessageError when the payload is too large, no JSON, or not an envelope.
    """
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise MessageError(f"payload of {len(payload)} bytes; at most {PAYLOAD_BYTES_MAX} are read")
    try:
        return _ENVELOPES.decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MessageError(f"not an envelope: {error}") from error


def decode_data(envelope: Envelope, model: type[_T]) -> _T:
    """Read the `data` of an envelope as `model`. Raises MessageError when it does not fit."""
    try:
        return msgspec.json.decode(envelope.data, type=model)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MessageError(f"{envelope.kind} of {envelope.node}: {error}") from error
