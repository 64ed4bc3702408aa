"""Keeps the hub connected to one of its brokers and fills the inbox."""

import itertools
import logging
import socket
import threading
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime

from hub.collector.address import BrokerAddress, broker_address
from hub.collector.backoff import Backoff
from hub.collector.connection import Connection
from hub.collector.inbox import Delivery, Inbox
from hub.errors import BrokerError
from hub.settings import Broker
from node.messages import TOPIC_ROOT

_log = logging.getLogger(__name__)
_TOPICS = f"{TOPIC_ROOT}/#"
_STEP_SECONDS = 1.0
_FULL_STEP_SECONDS = 0.05


class Link:
    """The way to the brokers. run() is the network's thread; the rest may be called from any."""

    def __init__(self, settings: Broker, inbox: Inbox, *, password: str = "") -> None:
        """Prepare; nothing connects before run(). Raises SettingsError for a bad address."""
        self._settings = settings
        self._password = password
        self._inbox = inbox
        self._addresses = [broker_address(url) for url in settings.urls]
        self._stop = threading.Event()
        self._connected = threading.Event()
        self._number = 0
        self._outgoing: deque[tuple[int, int] | tuple[str, bytes]] = deque()
        self._wake_out, self._wake_in = socket.socketpair()
        for end in (self._wake_out, self._wake_in):
            end.settimeout(0)

    @property
    def connected(self) -> bool:
        """Whether a broker delivers now."""
        return self._connected.is_set()

    def acknowledge(self, deliveries: Iterable[Delivery]) -> None:
        """Tell the broker that `deliveries` are on disk; what an old connection brought is skipped.

        The broker delivers those again and the primary key makes the second one harmless.
        """
        self._outgoing.extend((each.connection, each.mid) for each in deliveries if each.mid)
        self._wake()

    def send(self, topic: str, payload: bytes) -> bool:
        """Publish a message when connected; return whether it was tried."""
        if not self.connected:
            return False
        self._outgoing.append((topic, payload))
        self._wake()
        return True

    def stop(self) -> None:
        """Make run() return."""
        self._stop.set()
        self._wake()

    def run(self) -> None:
        """Connect, and connect again, until stop()."""
        backoff = Backoff(
            min_seconds=self._settings.backoff_min_seconds,
            max_seconds=self._settings.backoff_max_seconds,
        )
        told = False
        for address in itertools.cycle(self._addresses):
            try:
                self._serve(address, backoff)
            except BrokerError as error:
                # One line for each change: connected is logged on its own.
                if self._connected.is_set() or not told:
                    _log.warning("broker %s: %s; trying until it works", address, error)
                told = True
            finally:
                self._connected.clear()
            if self._stop.wait(0 if self._stop.is_set() else backoff.next_seconds()):
                return

    def close(self) -> None:
        """Free what run() used, after it returned."""
        self._wake_in.close()
        self._wake_out.close()

    def _serve(self, address: BrokerAddress, backoff: Backoff) -> None:
        self._number += 1
        connection = Connection(
            address,
            self._settings,
            password=self._password,
            topics=_TOPICS,
            on_message=self._put,
        )
        try:
            while not self._stop.is_set():
                self._flush(connection)
                full = self._inbox.full()
                connection.step(
                    self._wake_in,
                    timeout_seconds=_FULL_STEP_SECONDS if full else _STEP_SECONDS,
                    reading=not full,
                )
                if connection.subscribed and not self._connected.is_set():
                    self._connected.set()
                    backoff.reset()
                    _log.info("connected to broker %s", address)
        finally:
            connection.close()

    def _flush(self, connection: Connection) -> None:
        while self._outgoing:
            first, second = self._outgoing.popleft()
            if isinstance(first, str) and isinstance(second, bytes):
                connection.publish(first, second)
            elif first == self._number and isinstance(second, int):
                connection.acknowledge(second)

    def _put(self, topic: str, payload: bytes, retained: bool, mid: int) -> None:  # noqa: FBT001 - the callback's shape
        now = datetime.now(UTC)
        self._inbox.put(Delivery(topic, payload, retained, now, self._number, mid))

    def _wake(self) -> None:
        try:
            self._wake_out.send(b"\0")
        except BlockingIOError:
            return  # full of wake-ups already
