"""Asks nodes over MQTT for what their closed list of commands allows, and waits for the answers."""

import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from node.messages import (
    Command,
    Identify,
    MessageError,
    Reply,
    Snapshot,
    decode_command,
    decode_envelope,
    decode_reply,
    encode_command,
    parse_topic,
    topic_of,
)
from provisioning.command.errors import UsageError
from provisioning.listen import BrokerAccess, Say, line_to
from provisioning.live_stills import live_still_of
from provisioning.remote.errors import RemoteError, SilentError

_READY_SECONDS = 30.0  # what the broker kept comes first, over a link that may be slow


class Asking:
    """What was asked of whom, and what was answered; the same id goes to every node."""

    def __init__(self) -> None:
        """Nothing can be asked before `say` is set: it publishes."""
        self.say: Say = _mute
        self.id = secrets.token_hex(8)
        self._changed = threading.Condition()
        self._replies: dict[str, Reply] = {}
        self._stills: dict[str, bytes] = {}

    def hear(self, topic: str, payload: bytes, arrived_at: datetime | None) -> None:
        """Take in a reply or a new still; what does not follow the contract is nobody's answer."""
        if node := live_still_of(topic, payload, arrived_at):
            with self._changed:
                self._stills[node] = payload
                self._changed.notify_all()
            return
        parsed = parse_topic(topic)
        if parsed is None or parsed[1] != "reply":
            return
        try:
            envelope = decode_envelope(payload)
            reply = decode_reply(envelope.data)
        except MessageError:
            return
        if envelope.node == parsed[0] and reply.id == self.id:
            with self._changed:
                self._replies[envelope.node] = reply
                self._changed.notify_all()

    def identify(self, node: str, seconds: float, within_s: float) -> None:
        """Have the lamp blink. Raises RemoteError, SilentError."""
        self._ask(node, Identify(id=self.id, seconds=seconds), within_s)

    def snapshot(self, node: str, within_s: float) -> bytes:
        """Return a still (JPEG) that came after this was asked. Raises RemoteError, SilentError."""
        with self._changed:
            self._stills.pop(node, None)
        self._ask(node, Snapshot(id=self.id), within_s)
        with self._changed:
            if not self._changed.wait_for(lambda: node in self._stills, within_s):
                raise SilentError(
                    f"gambar tidak datang / obeyed, but no picture came within {within_s:g} s"
                )
            return self._stills[node]

    def _ask(self, node: str, command: Command, within_s: float) -> None:
        self.say(topic_of(node, "cmd"), encode_command(command))
        with self._changed:
            if not self._changed.wait_for(lambda: node in self._replies, within_s):
                raise SilentError(
                    f"tidak menjawab / no answer within {within_s:g} s; is it online "
                    "(simpul status), and does the broker let you speak to nodes?"
                )
            reply = self._replies[node]
        if not reply.ok:
            raise RemoteError(f"tidak bisa / it cannot: {reply.problem}")


def check_seconds(seconds: float) -> None:
    """Raise UsageError for what every node would refuse to blink for."""
    try:
        decode_command(encode_command(Identify(id="a", seconds=seconds)))
    except MessageError as error:
        raise UsageError(
            f"--seconds {seconds:g}: a lamp blinks for more than 0 and at most 600 s"
        ) from error


@contextmanager
def asking(access: BrokerAccess, nodes: Sequence[str], *, stills: bool = False) -> Iterator[Asking]:
    """Give what asks these nodes while the context lasts, with `stills` for snapshots too.

    Raises FleetError.
    """
    made = Asking()
    kinds = ("reply", "frame") if stills else ("reply",)
    topics = tuple(topic_of(node, kind) for node in nodes for kind in kinds)
    with line_to(access, (), made.hear, topics=topics, ready_seconds=_READY_SECONDS) as line:
        made.say = line.say
        yield made


def _mute(topic: str, payload: bytes, *, retain: bool = False) -> None:
    del payload, retain
    raise SilentError(f"{topic}: there is no broker to speak to")
