"""Hears and asks the fleet over MQTT: the adapter around paho for the terminal commands."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Protocol
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from msgspec import Struct
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from node.messages import topic_of
from provisioning.errors import FleetError

_CONNECT_TIMEOUT_SECONDS = 10.0


class Say(Protocol):
    """Publishes, at least once."""

    def __call__(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Return once the broker has the payload. Raises FleetError."""


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
    host, port, encrypted = _parse(access.url)
    consent: list[ReasonCode] = []
    answered = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)

    def on_connect(
        _client: mqtt.Client,
        _userdata: object,
        _flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        consent.append(reason)
        if reason.is_failure:
            answered.set()
        else:
            of_nodes = [(topic_of("+", kind), 0) for kind in kinds]
            client.subscribe(of_nodes + [(topic, 1) for topic in topics])

    client.on_connect = on_connect
    client.on_subscribe = lambda *_: answered.set()
    client.on_message = lambda _client, _userdata, message: hear(
        message.topic, bytes(message.payload)
    )
    try:
        if encrypted:
            context = ssl.create_default_context(cafile=access.ca_file or None)
            if access.certificate_file:
                context.load_cert_chain(access.certificate_file, access.key_file)
            client.tls_set_context(context)
        client.connect(host, port)
    except (OSError, ValueError) as error:
        raise FleetError(f"{access.url}: {error}; is the broker running there?") from error
    client.loop_start()
    try:
        if not answered.wait(_CONNECT_TIMEOUT_SECONDS):
            raise FleetError(f"{access.url}: no answer within {_CONNECT_TIMEOUT_SECONDS:g} s")
        if consent[-1].is_failure:
            raise FleetError(f"{access.url} refuses: {consent[-1]}")
        yield partial(_say, client)
    finally:
        client.disconnect()
        client.loop_stop()


def _say(client: mqtt.Client, topic: str, payload: bytes, *, retain: bool = False) -> None:
    try:
        said = client.publish(topic, payload, qos=1, retain=retain)
        said.wait_for_publish(_CONNECT_TIMEOUT_SECONDS)
    except (ValueError, RuntimeError) as error:
        raise FleetError(f"{topic}: {error}") from error
    if not said.is_published():
        raise FleetError(f"{topic}: not taken by the broker within {_CONNECT_TIMEOUT_SECONDS:g} s")


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
