"""Hears the fleet over MQTT: the adapter around paho for the terminal commands."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from msgspec import Struct
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from node.messages import topic_of
from provisioning.errors import FleetError

_CONNECT_TIMEOUT_SECONDS = 10.0


class BrokerAccess(Struct, frozen=True, kw_only=True):
    """Where the broker is and with which papers it is asked; empty papers mean none."""

    url: str
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""


@contextmanager
def listening(
    access: BrokerAccess, kinds: tuple[str, ...], hear: Callable[[str, bytes], None]
) -> Iterator[None]:
    """Hand every message of every node to `hear(topic, payload)`, from another thread.

    `kinds` are topics below a node ("state", "health" ...). Raises FleetError when the broker
    cannot be reached or refuses.
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
        if not reason.is_failure:
            client.subscribe([(topic_of("+", kind), 0) for kind in kinds])
        answered.set()

    client.on_connect = on_connect
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
        yield
    finally:
        client.disconnect()
        client.loop_stop()


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
