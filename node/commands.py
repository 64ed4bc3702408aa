"""Carries out the commands of the closed list and words the replies."""

import logging
from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from node.errors import BoardError, CameraError, OutboxError
from node.messages import (
    COMMAND_BYTES_MAX,
    Identify,
    MessageError,
    Replay,
    Reply,
    Snapshot,
    decode_command,
)
from node.outbox.outbox import Outbox

_PROBLEM_LENGTH_MAX = 500
_log = logging.getLogger(__name__)


class _Asked(Struct):
    """As much of a command as its answer needs."""

    id: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$")]


def obey(
    payload: bytes,
    *,
    outbox: Outbox,
    snapshot: Callable[[], None] | None,
    identify: Callable[[float], None] | None = None,
) -> Reply | None:
    """Carry out one command and return its reply; what the node cannot do is given as None.

    What is refused is answered too. None when the payload does not tell whom to answer.
    """
    try:
        command = decode_command(payload)
    except MessageError as error:
        _log.warning("command refused: %s", str(error)[:200])
        return _refusal(payload, str(error)[:_PROBLEM_LENGTH_MAX])
    if isinstance(command, Replay):
        return _replay(command, outbox)
    if isinstance(command, Identify):
        return _identify(command, identify)
    return _snapshot(command, snapshot)


def _refusal(payload: bytes, problem: str) -> Reply | None:
    if len(payload) > COMMAND_BYTES_MAX:
        return None
    try:
        asked = msgspec.json.decode(payload, type=_Asked)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return Reply(id=asked.id, ok=False, problem=problem)


def _identify(command: Identify, identify: Callable[[float], None] | None) -> Reply:
    if identify is None:
        return Reply(id=command.id, ok=False, problem="this node has no lamp")
    try:
        identify(command.seconds)
    except BoardError as error:
        return Reply(id=command.id, ok=False, problem=str(error))
    return Reply(id=command.id, ok=True)


def _snapshot(command: Snapshot, snapshot: Callable[[], None] | None) -> Reply:
    if snapshot is None:
        return Reply(id=command.id, ok=False, problem="this node has no camera")
    try:
        snapshot()
    except CameraError as error:
        return Reply(id=command.id, ok=False, problem=str(error))
    return Reply(id=command.id, ok=True)


def _replay(command: Replay, outbox: Outbox) -> Reply:
    if command.last < command.first:
        return Reply(id=command.id, ok=False, problem="last lies before first")
    try:
        gone = outbox.replay(command.boot, command.first, command.last)
    except OutboxError as error:
        return Reply(id=command.id, ok=False, problem=str(error))
    return Reply(id=command.id, ok=True, boot=command.boot, gone=gone)
