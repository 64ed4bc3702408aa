"""Carries out the commands of the closed list and words the replies."""

import logging
from collections.abc import Callable

from node.errors import BoardError, CameraError, OutboxError
from node.messages import (
    PROBLEM_LENGTH_MAX,
    Identify,
    MessageError,
    Replay,
    Reply,
    Snapshot,
    asked_id,
    decode_command,
)
from node.outbox.outbox import Outbox

_log = logging.getLogger(__name__)


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
        asker = asked_id(payload)
        problem = str(error)[:PROBLEM_LENGTH_MAX]
        return Reply(id=asker, ok=False, problem=problem) if asker else None
    if isinstance(command, Replay):
        return _replay(command, outbox)
    if isinstance(command, Identify):
        return _identify(command, identify)
    return _snapshot(command, snapshot)


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
