"""Carries out the commands of the closed list and words the replies."""

import logging
from collections.abc import Callable

from node.errors import CameraError, OutboxError
from node.messages import Identify, MessageError, Replay, Reply, Snapshot, decode_command
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

    None when the payload is no command at all: then there is nobody to answer.
    """
    try:
        command = decode_command(payload)
    except MessageError as error:
        _log.warning("command refused: %s", str(error)[:200])
        return None
    if isinstance(command, Replay):
        return _replay(command, outbox)
    if isinstance(command, Identify):
        return _identify(command, identify)
    return _snapshot(command, snapshot)


def _identify(command: Identify, identify: Callable[[float], None] | None) -> Reply:
    if identify is None:
        return Reply(id=command.id, ok=False, problem="this node has no lamp")
    identify(command.seconds)
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
