"""The link over paho-mqtt: MQTT 3.1.1, QoS 1, TLS, driven by the caller's own thread.

paho's own network thread is not used: it can die unseen, and its queue survives a reconnect. Here
paho only parses and packs; a stuck connection is a stuck `turn`, which the supervisor sees.
"""

import selectors
import socket
import ssl
from collections.abc import Sequence
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from node.errors import UplinkError
from node.settings import Uplink as UplinkSettings
from node.uplink.link import Acknowledged, Happening, LinkQuality, Message, Received
from node.uplink.tcp_info import read_quality

_CONNECT_TIMEOUT_SECONDS = 10.0


class PahoLink:
    """One connection to one broker; see the port."""

    def __init__(self, settings: UplinkSettings, *, client_id: str) -> None:
        """Prepare; nothing is connected yet."""
        self._settings = settings
        self._happened: list[Happening] = []
        self._consent: ReasonCode | None = None
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)  # noqa: FBT003 - socket's own signature
        self._wake_writer.setblocking(False)  # noqa: FBT003 - as above
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=True,
            protocol=mqtt.MQTTv311,
        )
        self._client.connect_timeout = _CONNECT_TIMEOUT_SECONDS
        self._client.max_inflight_messages_set(0)  # the uplink counts for itself
        self._client.on_connect = self._on_connect
        self._client.on_publish = self._on_publish
        self._client.on_message = self._on_message
        self._client.on_subscribe = self._on_subscribe
        self._refused_subscription = False

    def open(self, broker: str, will: Message) -> None:
        """Connect and wait for CONNACK; see the port."""
        url = urlsplit(broker)
        self._client.will_set(will.topic, will.payload, qos=1, retain=will.retain)
        try:
            if url.scheme == "mqtts":
                self._client.tls_set_context(self._tls())
            self._client.connect(
                url.hostname or "", url.port or 0, keepalive=self._settings.keepalive_seconds
            )
        except (OSError, ValueError) as error:
            raise UplinkError(f"{broker}: {error}") from error
        while self._consent is None:
            try:
                self._work(_CONNECT_TIMEOUT_SECONDS, patient=False)
            except UplinkError as error:
                if self._consent is None:  # else the refusal itself says more
                    raise UplinkError(f"{broker}: {error}") from error
        if self._consent.is_failure:
            raise UplinkError(f"{broker} refuses this node: {self._consent}")

    def subscribe(self, topic: str) -> None:
        """Subscribe with QoS 1."""
        self._require(self._client.subscribe(topic, qos=1)[0])

    def publish(self, message: Message) -> int:
        """Publish with QoS 1; the token is the packet identifier."""
        info = self._client.publish(message.topic, message.payload, qos=1, retain=message.retain)
        self._require(info.rc)
        return info.mid

    def turn(self, timeout_seconds: float) -> Sequence[Happening]:
        """Read and write what the socket allows; see the port."""
        if not self._happened:
            self._work(timeout_seconds, patient=True)
        happened, self._happened = self._happened, []
        return happened

    def wake(self) -> None:
        """Write one byte that the running select sees."""
        try:
            self._wake_writer.send(b"w")
        except OSError:
            return  # closed meanwhile, or enough wake-ups are waiting already

    def quality(self) -> LinkQuality:
        """Ask the kernel."""
        connection = self._client.socket()
        return read_quality(connection) if isinstance(connection, socket.socket) else LinkQuality()

    def close(self) -> None:
        """Send DISCONNECT, so that no last will is published."""
        self._client.disconnect()
        self.abandon()

    def abandon(self) -> None:
        """Close the sockets."""
        connection = self._client.socket()
        if connection is not None:
            connection.close()
        self._wake_reader.close()
        self._wake_writer.close()

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._settings.ca_file or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self._settings.certificate_file:
            context.load_cert_chain(self._settings.certificate_file, self._settings.key_file)
        return context

    def _work(self, timeout_seconds: float, *, patient: bool) -> None:
        connection = self._client.socket()
        if connection is None:
            raise UplinkError("the broker closed the connection")
        # TLS may hold decrypted bytes that no select on the socket will ever announce.
        if isinstance(connection, ssl.SSLSocket) and connection.pending():
            timeout_seconds = 0
        events = selectors.EVENT_READ
        if self._client.want_write():
            events |= selectors.EVENT_WRITE
        with selectors.DefaultSelector() as selector:
            selector.register(connection, events)
            selector.register(self._wake_reader, selectors.EVENT_READ)
            ready = {key.fileobj: mask for key, mask in selector.select(timeout_seconds)}
        if not ready and not patient:
            raise UplinkError(f"the broker did not answer within {timeout_seconds:g} s")
        if self._wake_reader in ready:
            self._wake_reader.recv(4096)
        if ready.get(connection, 0) & selectors.EVENT_WRITE:
            self._require(self._client.loop_write())
        if ready.get(connection, 0) & selectors.EVENT_READ or timeout_seconds == 0:
            self._require(self._client.loop_read())
        self._require(self._client.loop_misc())
        # A cluster that just lost a member refuses for some seconds; a deaf node is no use.
        if self._refused_subscription:
            raise UplinkError("the broker refuses to pass on commands; check its access list")

    def _require(self, code: MQTTErrorCode) -> None:
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise UplinkError(f"connection lost: {mqtt.error_string(code)}")

    def _on_connect(
        self,
        _client: mqtt.Client,
        _userdata: object,
        _flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._consent = reason

    def _on_publish(
        self,
        _client: mqtt.Client,
        _userdata: object,
        mid: int,
        _reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._happened.append(Acknowledged(mid))

    def _on_subscribe(
        self,
        _client: mqtt.Client,
        _userdata: object,
        _mid: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        self._refused_subscription = any(reason.is_failure for reason in reasons)

    def _on_message(
        self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage
    ) -> None:
        received = Received(message.topic, bytes(message.payload), message.retain)
        self._happened.append(received)
