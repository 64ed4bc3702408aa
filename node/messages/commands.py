"""What a node obeys: a closed list of commands, and its answers. No shell, ever."""

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta, Struct

from node.messages.envelope import MessageError, Seqs

COMMAND_BYTES_MAX = 4_096
"""Largest command that is decoded; a longer one is refused unread."""
PROBLEM_LENGTH_MAX = 500
"""Characters of a reply's problem."""

_Id = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$", description="Chosen by the asker.")]


class _Asked(Struct):
    """As much of a command as its answer needs."""

    id: _Id


class Replay(
    Struct, frozen=True, kw_only=True, tag_field="command", tag="replay", forbid_unknown_fields=True
):
    """Send measurements of a boot again; the reply names those that are gone."""

    id: _Id
    boot: Annotated[
        str, Meta(pattern="^[0-9a-f]{16}$", max_length=16, description="Run of the agent.")
    ]
    first: Annotated[int, Meta(ge=1, le=2**63 - 1, description="First sequence number.")]
    last: Annotated[int, Meta(ge=1, le=2**63 - 1, description="Last sequence number, included.")]


class Snapshot(
    Struct,
    frozen=True,
    kw_only=True,
    tag_field="command",
    tag="snapshot",
    forbid_unknown_fields=True,
):
    """Send a still now."""

    id: _Id


class Identify(
    Struct,
    frozen=True,
    kw_only=True,
    tag_field="command",
    tag="identify",
    forbid_unknown_fields=True,
):
    """Blink the lamp, so that a person at the pole finds the box."""

    id: _Id
    seconds: Annotated[float, Meta(gt=0, le=600, description="How long to blink.")] = 30.0


Command: TypeAlias = Replay | Snapshot | Identify


class Reply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to a command."""

    id: Annotated[str, Meta(max_length=64, description="The command's id.")]
    ok: Annotated[bool, Meta(description="Whether the command is carried out.")]
    problem: Annotated[
        str, Meta(max_length=PROBLEM_LENGTH_MAX, description="Why not, for a person.")
    ] = ""
    boot: Annotated[
        str,
        Meta(
            pattern="^([0-9a-f]{16})?$",
            max_length=16,
            description="replay: run of the agent that was asked for.",
        ),
    ] = ""
    gone: Annotated[
        tuple[Seqs, ...], Meta(description="replay: ranges that the node no longer holds.")
    ] = ()


_COMMANDS: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)
_REPLIES = msgspec.json.Decoder(Reply)


def encode_command(command: Command) -> bytes:
    """Return a command as JSON for the cmd topic."""
    return msgspec.json.encode(command)


def decode_command(payload: bytes) -> Command:
    """Read a command. Raises MessageError when too large, malformed or not in the list."""
    if len(payload) > COMMAND_BYTES_MAX:
        raise MessageError(f"command of {len(payload)} bytes; at most {COMMAND_BYTES_MAX} are read")
    try:
        return _COMMANDS.decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MessageError(f"not a command: {error}") from error


def asked_id(payload: bytes) -> str:
    """Return the id of what was refused as a command, so that its asker is told; else none."""
    if len(payload) > COMMAND_BYTES_MAX:
        return ""
    try:
        return msgspec.json.decode(payload, type=_Asked).id
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return ""


def decode_reply(data: bytes | msgspec.Raw) -> Reply:
    """Read the data of a reply. Raises MessageError when it does not fit."""
    try:
        return _REPLIES.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MessageError(f"not a reply: {error}") from error
