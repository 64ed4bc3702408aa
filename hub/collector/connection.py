"""One MQTT connection over paho, from CONNECT to its loss; the only module that knows paho.

A new paho client is made for every connection. So nothing of an old connection (a packet
identifier, a half-sent packet, an acknowledgement) can reach a new one, where it would name
another message. The broker keeps the session and delivers again what was not acknowledged.

paho is driven from one thread through its interface for outside event loops; its own thread and
its own reconnecting are not used.
"""

import select
import socket
import ssl
import struct
import time
from collections.abc import Callable

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from hub.collector.address import BrokerAddress
from hub.errors import BrokerError
from hub.settings import Broker
from node.messages import session_name

_ANSWER_TIMEOUT_SECONDS = 10.0
_CONNECT_TIMEOUT_SECONDS = 5.0
_QOS = 1


class Connection:
    """A session at a broker, subscribed; every method belongs to the network's thread."""

    def __init__(
        self,
        address: BrokerAddress,
        settings: Broker,
        *,
        password: str,
        topics: str,
        on_message: Callable[[str, bytes, bool, int], None],
    ) -> None:
        """Connect; blocks for a few seconds at most. Raises BrokerError.

        `on_message` gets topic, payload, whether it was retained, and the packet identifier to
        acknowledge (0 when it came at QoS 0).
        """
        self._topics = topics
        self._on_message = on_message
        self._problem = ""
        self._began = time.monotonic()
        self.subscribed = False
        self._client = paho.Client(
            callback_api_version=CallbackAPIVersion.VERSION2,
            client_id=session_name(settings.client_id, password.encode()),
            clean_session=False,
            protocol=MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        self._client.connect_timeout = _CONNECT_TIMEOUT_SECONDS
        self._client.on_connect = self._connected
        self._client.on_subscribe = self._answered
        self._client.on_message = self._received
        if settings.username:
            self._client.username_pw_set(settings.username, password or None)
        try:
            if address.tls:
                self._client.tls_set(
                    ca_certs=settings.ca_file or None,
                    certfile=settings.certificate_file or None,
                    keyfile=settings.key_file or None,
                )
            self._client.connect(address.host, address.port, keepalive=settings.keepalive_seconds)
        except (OSError, ValueError) as error:
            raise BrokerError(f"no connection to {address}: {error}") from error

    def acknowledge(self, mid: int) -> None:
        """Tell the broker that message `mid` of this connection is safe."""
        self._client.ack(mid, _QOS)

    def publish(self, topic: str, payload: bytes) -> None:
        """Send a message; it is lost when the connection is.

        At QoS 0: whoever sends asks again when nothing comes of it, and a broker that never
        acknowledges (a cluster without a leader) cannot fill paho's window for good.
        """
        self._client.publish(topic, payload, qos=0)

    def step(self, wake: socket.socket, *, timeout_seconds: float, reading: bool) -> None:
        """Wait for the network, or for a byte on `wake`, and do what is due.

        With `reading` False nothing is taken from the socket, so TCP holds the broker back.
        Raises BrokerError when the connection is lost or the broker refuses.
        """
        own = self._client.socket()
        if not isinstance(own, socket.socket):
            raise BrokerError(self._problem or "connection lost")
        readable, writable = self._wait(own, wake, timeout_seconds, reading=reading)
        result = MQTTErrorCode.MQTT_ERR_SUCCESS
        try:
            if readable:
                result = self._client.loop_read()
            if writable and not result:
                result = self._client.loop_write()
            if not result:
                result = self._client.loop_misc()
        except (OSError, ValueError, IndexError, struct.error) as error:
            raise BrokerError(f"the broker speaks no MQTT that we understand: {error}") from error
        if result or self._problem:
            raise BrokerError(self._problem or f"connection lost: {paho.error_string(result)}")
        if not self.subscribed and time.monotonic() - self._began > _ANSWER_TIMEOUT_SECONDS:
            raise BrokerError(f"the broker did not answer within {_ANSWER_TIMEOUT_SECONDS:.0f} s")

    def close(self) -> None:
        """Say good-bye when the connection still stands; the session stays at the broker."""
        self._client.disconnect()
        own = self._client.socket()
        if own is not None:
            own.close()

    def _wait(
        self,
        own: socket.socket,
        wake: socket.socket,
        timeout_seconds: float,
        *,
        reading: bool,
    ) -> tuple[bool, bool]:
        if reading and isinstance(own, ssl.SSLSocket) and own.pending():
            return True, self._client.want_write()
        poll = select.poll()
        flags = (select.POLLIN if reading else 0) | (
            select.POLLOUT if self._client.want_write() else 0
        )
        poll.register(own, flags)
        poll.register(wake, select.POLLIN)
        ready = dict(poll.poll(timeout_seconds * 1000))
        if wake.fileno() in ready:
            wake.recv(4096)
        events = ready.get(own.fileno(), 0)
        return bool(events & ~select.POLLOUT), bool(events & select.POLLOUT)

    def _connected(
        self,
        client: paho.Client,
        _userdata: object,
        _flags: paho.ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._problem = f"the broker refuses the connection: {reason}"
            return
        client.subscribe(self._topics, qos=_QOS)

    def _answered(
        self,
        _client: paho.Client,
        _userdata: object,
        _mid: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            self._problem = f"the broker refuses {self._topics}; check its access list"
            return
        self.subscribed = True

    def _received(self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        self._on_message(
            topic, bytes(message.payload), message.retain, message.mid if message.qos else 0
        )
