"""Decides what a delivered message is; pure, and nothing gets past it unchecked."""

from datetime import UTC
from typing import TypeAlias

from msgspec import Struct

from node.messages import (
    Envelope,
    MessageError,
    Reply,
    State,
    StillInfo,
    decode_data,
    decode_envelope,
    decode_reply,
    parse_topic,
    read_still_info,
)

_OUTSIDE_THE_ROW = frozenset({"state", "reply"})


class Measurement(Struct, frozen=True):
    """A measurement or event, to be stored."""

    envelope: Envelope


class StateChange(Struct, frozen=True):
    """Birth or death of a node."""

    envelope: Envelope
    state: State


class Answer(Struct, frozen=True):
    """A node's answer to a command."""

    node: str
    reply: Reply


class Still(Struct, frozen=True):
    """A public still."""

    info: StillInfo
    jpeg: bytes


class Cleared(Struct, frozen=True):
    """An empty message, MQTT's way to take back what was retained (MQTT 3.1.1, 3.3.1.3)."""

    node: str
    kind: str


class Ignored(Struct, frozen=True):
    """Not meant for the hub: a command to a node."""


Item: TypeAlias = Measurement | StateChange | Answer | Still | Cleared | Ignored


def read_message(topic: str, payload: bytes) -> Item:
    """Return what a message is. Raises MessageError, which never quotes the payload."""
    place = parse_topic(topic)
    if place is None:
        raise MessageError("the topic is not one of a node")
    node, kind = place
    if kind == "cmd":
        return Ignored()
    if not payload:
        return Cleared(node, kind)
    if kind == "frame":
        return _read_still(node, payload)
    envelope = decode_envelope(payload)
    _check(envelope, node, kind)
    if kind == "state":
        return StateChange(envelope, decode_data(envelope, State))
    if kind == "reply":
        return Answer(node, decode_reply(envelope.data))
    return Measurement(envelope)


def _read_still(node: str, payload: bytes) -> Still:
    info = read_still_info(payload)
    if info.node != node:
        raise MessageError("the still belongs to another node than its topic")
    try:
        info.at.astimezone(UTC)
    except OverflowError as error:
        raise MessageError("the still's moment is beyond the calendar") from error
    return Still(info, payload)


def _check(envelope: Envelope, node: str, kind: str) -> None:
    if envelope.node != node:
        raise MessageError("the envelope names another node than its topic")
    if envelope.kind != kind:
        raise MessageError("the envelope names another kind than its topic")
    if (envelope.seq == 0) != (kind in _OUTSIDE_THE_ROW):
        raise MessageError(f"a {kind} cannot have seq {envelope.seq}")
    try:
        envelope.at.astimezone(UTC)
    except OverflowError as error:
        raise MessageError("the moment is beyond the calendar") from error
