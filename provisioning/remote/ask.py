"""Asks nodes over MQTT for what their closed list of commands allows, and waits for the answers."""

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from node.messages import (
    Command,
    Identify,
    MessageError,
    Reply,
    Snapshot,
    decode_envelope,
    decode_reply,
    encode_command,
    parse_topic,
    read_still_info,
    topic_of,
)
from provisioning.listen import BrokerAccess, Say, listening
from provisioning.remote.errors import RemoteError, SilentError

_KINDS = ("reply", "frame")
_RETAINED_S = 1.0


class Asking:
    """What was asked of whom, and what was answered; the same id goes to every node."""

    def __init__(self) -> None:
        """Nothing can be asked before `say` is set: it publishes."""
        self.say: Say = _mute
        self.id = secrets.token_hex(8)
        self._changed = threading.Condition()
        self._replies: dict[str, Reply] = {}
        self._stills: dict[str, tuple[datetime, bytes]] = {}

    def hear(self, topic: str, payload: bytes) -> None:
        """Take in a message; what does not follow the contract is nobody's answer."""
        parsed = parse_topic(topic)
        if parsed is None:
            return
        node, kind = parsed
        try:
            with self._changed:
                if kind == "frame":
                    self._stills[node] = (read_still_info(payload).at, payload)
                elif kind == "reply":
                    self._take(node, payload)
                self._changed.notify_all()
        except MessageError:
            return

    def identify(self, node: str, seconds: float, within_s: float) -> None:
        """Have the lamp blink. Raises RemoteError, SilentError."""
        self._ask(node, Identify(id=self.id, seconds=seconds), within_s)

    def snapshot(self, node: str, within_s: float) -> bytes:
        """Return a still (JPEG) taken after this was asked. Raises RemoteError, SilentError."""
        with self._changed:
            self._changed.wait_for(lambda: node in self._stills, _RETAINED_S)
            before = self._stills.get(node)
        self._ask(node, Snapshot(id=self.id), within_s)
        with self._changed:
            new = self._changed.wait_for(lambda: self._is_newer(node, before), within_s)
            if not new:
                raise SilentError(
                    f"gambar tidak datang / obeyed, but no picture came within {within_s:g} s"
                )
            return self._stills[node][1]

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

    def _take(self, node: str, payload: bytes) -> None:
        envelope = decode_envelope(payload)
        reply = decode_reply(envelope.data)
        if envelope.node == node and reply.id == self.id:
            self._replies[node] = reply

    def _is_newer(self, node: str, before: tuple[datetime, bytes] | None) -> bool:
        now = self._stills.get(node)
        return now is not None and (before is None or now[0] > before[0])


@contextmanager
def asking(access: BrokerAccess) -> Iterator[Asking]:
    """Give what asks nodes while the context lasts. Raises FleetError."""
    made = Asking()
    with listening(access, _KINDS, made.hear) as say:
        made.say = say
        yield made


def _mute(topic: str, payload: bytes, *, retain: bool = False) -> None:
    del payload, retain
    raise SilentError(f"{topic}: there is no broker to speak to")
