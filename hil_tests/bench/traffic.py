"""Hears everything that the node says at the bench's broker, and keeps it for report and tests."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from node.messages import TOPIC_ROOT, Envelope, decode_envelope

_CONNECT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Heard:
    """One message."""

    mono: float
    topic: str
    payload: bytes

    @property
    def kind(self) -> str:
        """What stands after the node's name in the topic, such as state or event/tamper."""
        return self.topic.split("/", 3)[-1]

    @property
    def envelope(self) -> Envelope:
        """The message read; raises MessageError for a frame."""
        return decode_envelope(self.payload)

    def data(self) -> dict[str, object]:
        """Return what it says."""
        data: dict[str, object] = msgspec.json.decode(self.envelope.data)
        return data


class Traffic:
    """Listens inside the `with`."""

    def __init__(self, address: str, port: int) -> None:
        """Listen at the broker there."""
        self._broker = (address, port)
        self._heard: list[Heard] = []
        self._changed = threading.Condition()
        self._ready = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="bench")
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._on_message

    def __enter__(self) -> Self:
        self._client.connect(*self._broker)
        self._client.loop_start()
        if not self._ready.wait(_CONNECT_SECONDS):
            raise TimeoutError("the bench's own broker does not answer")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def count(self) -> int:
        """Return how many messages were heard so far: a mark to look from."""
        with self._changed:
            return len(self._heard)

    def since(self, mark: int = 0) -> list[Heard]:
        """Return the messages from `mark` on."""
        with self._changed:
            return self._heard[mark:]

    def wait_for(
        self, kind: str, *, since: int, timeout_seconds: float, that: Callable[[Heard], bool]
    ) -> Heard:
        """Return the first message of `kind` from mark `since` on that `that` holds for.

        Raises TimeoutError that says what was heard instead.
        """
        end = time.monotonic() + timeout_seconds
        position = since
        with self._changed:
            while True:
                while position < len(self._heard):
                    heard = self._heard[position]
                    position += 1
                    if heard.kind == kind and that(heard):
                        return heard
                left_seconds = end - time.monotonic()
                if left_seconds <= 0 or not self._changed.wait(left_seconds):
                    said = _kinds(self._heard[since:])
                    raise TimeoutError(
                        f"no such {kind} within {timeout_seconds:g} s; heard: {said}"
                    )

    def wait_until(
        self, that: Callable[[list[Heard]], bool], *, timeout_seconds: float
    ) -> list[Heard]:
        """Return all that was heard once `that` holds of it. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: that(self._heard), timeout_seconds):
                raise TimeoutError(f"it did not come to hold within {timeout_seconds:g} s")
            return list(self._heard)

    def command(self, node: str, payload: bytes) -> None:
        """Send a command to the node."""
        self._client.publish(f"{TOPIC_ROOT}/{node}/cmd", payload, qos=1).wait_for_publish(10)

    def _on_connect(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe(f"{TOPIC_ROOT}/#", qos=1)

    def _on_message(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        with self._changed:
            self._heard.append(Heard(time.monotonic(), message.topic, bytes(message.payload)))
            self._changed.notify_all()


def _kinds(heard: list[Heard]) -> str:
    """Return the kinds of messages, and of a part that failed the latest reason."""
    kinds = {each.kind: "" for each in heard}
    for each in heard:
        if each.kind == "event/source-failed":
            failed = each.data()
            kinds[each.kind] = f" ({failed['source']}: {failed['reason']})"
    return ", ".join(kind + kinds[kind] for kind in sorted(kinds)) or "nothing"
