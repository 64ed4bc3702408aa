"""Hears and asks the fleet over MQTT: the adapter around paho for the terminal commands."""

import math
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from msgspec import Struct
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from node.messages import topic_of
from provisioning.errors import FleetError

RETAINED_SECONDS_MAX = 30.0
"""How long to wait, at most, for what the broker retains."""
_CONNECT_TIMEOUT_SECONDS = 10.0
_KEEPALIVE_SECONDS = 20  # a pulled cable is noticed within twice that
_RECONNECT_SECONDS_MAX = 5
_QUIET_SECONDS = 0.3
_LOOK_SECONDS = 1.0
_NOBODYS_TOPIC = "simpul/nobody"


class Say(Protocol):
    """Publishes, at least once."""

    def __call__(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Return once the broker has the payload. Raises FleetError."""


class Hear(Protocol):
    """Takes in a message; `arrived_at` is None for a retained one: it tells nothing of its age."""

    def __call__(self, topic: str, payload: bytes, arrived_at: datetime | None, /) -> None:
        """Return soon: nothing else is heard meanwhile."""


class BrokerAccess(Struct, frozen=True, kw_only=True):
    """Where the broker is and with which papers it is asked; empty papers mean none."""

    url: str
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""


@contextmanager
def listening(
    access: BrokerAccess,
    kinds: tuple[str, ...],
    hear: Callable[[str, bytes], None],
    *,
    topics: tuple[str, ...] = (),
) -> Iterator[Say]:
    """Hand every message of every node to `hear(topic, payload)`, from another thread.

    `kinds` are topics below a node ("state", "health" ...); `topics` are whole ones. What is said
    by the function that is given comes after the subscription, so that no answer is missed. Raises
    FleetError when the broker cannot be reached or refuses.
    """

    def heard(topic: str, payload: bytes, _arrived_at: datetime | None) -> None:
        hear(topic, payload)

    with line_to(access, kinds, heard, topics=topics) as line:
        yield line.say


@contextmanager
def line_to(
    access: BrokerAccess,
    kinds: tuple[str, ...],
    hear: Hear,
    *,
    topics: tuple[str, ...] = (),
    ready_seconds: float = _CONNECT_TIMEOUT_SECONDS,
) -> Iterator["Line"]:
    """Listen as `listening` does, and give the line itself, which tells how it stands."""
    host, port, encrypted = _parse(access.url)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    client.reconnect_delay_set(max_delay=_RECONNECT_SECONDS_MAX)
    of_nodes = [(topic_of("+", kind), 0) for kind in kinds]
    line = Line(client, of_nodes + [(topic, 1) for topic in topics], hear)
    try:
        if encrypted:
            context = ssl.create_default_context(cafile=access.ca_file or None)
            if access.certificate_file:
                context.load_cert_chain(access.certificate_file, access.key_file)
            client.tls_set_context(context)
        client.connect(host, port, keepalive=_KEEPALIVE_SECONDS)
    except (OSError, ValueError) as error:
        raise FleetError(f"{access.url}: {error}; is the broker running there?") from error
    client.loop_start()
    try:
        line.await_consent(access.url, ready_seconds)
        yield line
    finally:
        client.disconnect()
        client.loop_stop()


class Line:
    """A subscription at the broker, made anew by itself whenever the connection was lost."""

    def __init__(self, client: mqtt.Client, asked: list[tuple[str, int]], hear: Hear) -> None:
        """Prepare `client`, which is not connected yet."""
        self.lost_at: datetime | None = None
        """Since when nothing can be heard; None while the line stands."""
        self._client = client
        self._asked = asked
        self._hear = hear
        self._changed = threading.Condition()
        self._consent: ReasonCode | None = None
        self._subscribed = False
        self._retained_mono, self._fenced_mono = -math.inf, math.inf
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_unsubscribe = self._on_unsubscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message

    def await_consent(self, url: str, within_seconds: float) -> None:
        """Return once the broker has taken the subscription. Raises FleetError."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._subscribed or (self._consent and self._consent.is_failure),
                within_seconds,
            )
            if self._consent is not None and self._consent.is_failure:
                raise FleetError(f"{url} refuses: {self._consent}")
            if not self._subscribed:
                raise FleetError(f"{url}: no answer within {within_seconds:g} s")

    def say(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish; see the protocol."""
        try:
            said = self._client.publish(topic, payload, qos=1, retain=retain)
            said.wait_for_publish(_CONNECT_TIMEOUT_SECONDS)
        except (ValueError, RuntimeError) as error:
            raise FleetError(f"{topic}: {error}") from error
        if not said.is_published():
            raise FleetError(
                f"{topic}: not taken by the broker within {_CONNECT_TIMEOUT_SECONDS:g} s"
            )

    def settled(self, within_seconds: float = RETAINED_SECONDS_MAX) -> bool:
        """Wait for all that the broker retains; return False when that takes longer."""
        end_mono = time.monotonic() + within_seconds
        with self._changed:
            while (now_mono := time.monotonic()) < end_mono:
                quiet_mono = max(self._fenced_mono, self._retained_mono) + _QUIET_SECONDS
                if now_mono >= quiet_mono:
                    return True
                self._changed.wait(min(quiet_mono - now_mono, end_mono - now_mono, _LOOK_SECONDS))
        return False

    def _on_connect(
        self,
        client: mqtt.Client,
        _userdata: object,
        _flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        with self._changed:
            self._consent = reason
            self._changed.notify_all()
        if not reason.is_failure:
            client.subscribe(self._asked)

    def _on_subscribe(self, client: mqtt.Client, *_: object) -> None:
        # A broker does not say when the last retained message is out. But it sends one connection's
        # packets in order, so that what it answers after this comes behind them; and it has to
        # answer an UNSUBSCRIBE of what was never subscribed (MQTT 3.1.1, 3.10.4), which needs no
        # permission. One that is a cluster may be late with some: hence the quiet besides.
        client.unsubscribe(_NOBODYS_TOPIC)
        with self._changed:
            self._subscribed = True
            self.lost_at = None
            self._changed.notify_all()

    def _on_unsubscribe(self, *_: object) -> None:
        with self._changed:
            self._fenced_mono = time.monotonic()
            self._changed.notify_all()

    def _on_disconnect(self, *_: object) -> None:
        with self._changed:
            self.lost_at = self.lost_at or datetime.now(UTC)
            self._fenced_mono = math.inf

    def _on_message(
        self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage
    ) -> None:
        self._hear(
            message.topic, bytes(message.payload), None if message.retain else datetime.now(UTC)
        )
        if message.retain:
            with self._changed:
                self._retained_mono = time.monotonic()


def _parse(url: str) -> tuple[str, int, bool]:
    """Return host, port and whether TLS is asked for."""
    try:
        parts = urlsplit(url)
        usual_port = {"mqtt": 1883, "mqtts": 8883}[parts.scheme]
        port = parts.port or usual_port
    except (ValueError, KeyError) as error:
        raise FleetError(
            f"{url!r} is no broker; write mqtt://host:port or mqtts://host:port"
        ) from error
    return parts.hostname or "", port, parts.scheme == "mqtts"
