"""Hears the stills that nodes take from now on, never one that the broker kept; around paho."""

import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from node.messages import MessageError, parse_topic, read_still_info, topic_of
from provisioning.errors import FleetError
from provisioning.listen import BrokerAccess

_READY_TIMEOUT_SECONDS = 30.0  # what the broker kept comes first, over a link that may be slow
_PORTS = {"mqtt": 1883, "mqtts": 8883}


@contextmanager
def live_stills(
    access: BrokerAccess, nodes: Sequence[str], hear: Callable[[str, bytes], None]
) -> Iterator[None]:
    """Hand each still (JPEG) that one of `nodes` sends to `hear(node, still)`, in another thread.

    What the broker kept comes with the retain flag (MQTT 3.1.1, 3.3.1.3), however late it comes; no
    clock tells it as surely. Other nodes' stills stay at the broker: the link may be slow. Raises
    FleetError when the broker cannot be reached or refuses.
    """
    subscribed = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    topics = [(topic_of(node, "frame"), 0) for node in nodes]

    def on_connect(client: mqtt.Client, *_: object) -> None:
        client.subscribe(topics)

    def on_message(_client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        parsed = parse_topic(message.topic)
        if parsed is None or message.retain:
            return
        still = bytes(message.payload)
        try:
            taken_by = read_still_info(still).node
        except MessageError:
            return  # nobody's picture
        if taken_by == parsed[0]:
            hear(taken_by, still)

    client.on_connect = on_connect
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = on_message
    _connect(client, access)
    client.loop_start()
    try:
        if not subscribed.wait(_READY_TIMEOUT_SECONDS):
            raise FleetError(
                f"{access.url}: lets nobody hear stills within {_READY_TIMEOUT_SECONDS:g} s;"
                " do your papers allow it?"
            )
        yield
    finally:
        client.disconnect()
        client.loop_stop()


def _connect(client: mqtt.Client, access: BrokerAccess) -> None:
    try:
        parts = urlsplit(access.url)
        if parts.scheme == "mqtts":
            context = ssl.create_default_context(cafile=access.ca_file or None)
            if access.certificate_file:
                context.load_cert_chain(access.certificate_file, access.key_file)
            client.tls_set_context(context)
        client.connect(parts.hostname or "", parts.port or _PORTS[parts.scheme])
    except (OSError, ValueError, KeyError) as error:
        raise FleetError(f"{access.url}: {error}; is the broker running there?") from error
