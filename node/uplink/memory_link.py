"""A link to a broker that lives in memory: the real link's twin for tests without a network."""

import threading
from collections import deque
from collections.abc import Sequence

from node.errors import UplinkError
from node.uplink.link import Acknowledged, Happening, LinkQuality, Message, Received


class MemoryBroker:
    """Keeps what was published; may be told to refuse, to go down, or to stop acknowledging."""

    def __init__(self) -> None:
        """Start empty and willing."""
        self.published: list[Message] = []
        self.retained: dict[str, Message] = {}
        self.refusal = ""
        self.mute = False
        self.links: list[MemoryLink] = []

    def take(self, message: Message) -> None:
        """Keep a message and hand it to whoever subscribed to its topic."""
        self.published.append(message)
        if message.retain:
            self.retained[message.topic] = message
        for link in list(self.links):
            link.deliver(message)

    def down(self) -> None:
        """Lose every connection; the last wills are published."""
        for link in list(self.links):
            link.lose()


class MemoryLink:
    """One connection to a MemoryBroker; see the port."""

    def __init__(self, broker: MemoryBroker) -> None:
        """Prepare; nothing is connected yet."""
        self._broker = broker
        self._changed = threading.Condition()
        self._happened: deque[Happening] = deque()
        self._topics: set[str] = set()
        self._will: Message | None = None
        self._lost = False
        self._woken = False
        self._token = 0

    def open(self, broker: str, will: Message) -> None:
        """Connect unless the broker refuses."""
        if self._broker.refusal:
            raise UplinkError(f"{broker} refuses this node: {self._broker.refusal}")
        self._will = will
        self._broker.links.append(self)

    def subscribe(self, topic: str) -> None:
        """Ask for messages on exactly `topic`."""
        self._require()
        self._topics.add(topic)
        if kept := self._broker.retained.get(topic):
            self.deliver(kept, retained=True)

    def publish(self, message: Message) -> int:
        """Hand a message to the broker, which acknowledges unless it is mute."""
        self._require()
        self._token += 1
        if not self._broker.mute:
            self._happened.append(Acknowledged(self._token))
            self._broker.take(message)
        return self._token

    def turn(self, timeout_seconds: float) -> Sequence[Happening]:
        """Wait for something to happen; see the port."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._happened or self._woken or self._lost, timeout_seconds
            )
            self._woken = False
            self._require()
            happened = list(self._happened)
            self._happened.clear()
            return happened

    def wake(self) -> None:
        """End the running turn."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def quality(self) -> LinkQuality:
        """Return a perfect quality."""
        return LinkQuality(round_trip_seconds=0.001, loss_ratio=0.0)

    def close(self) -> None:
        """Leave without a last will."""
        self._will = None
        self.abandon()

    def abandon(self) -> None:
        """Drop the connection; the broker publishes the last will if there is one."""
        if self in self._broker.links:
            self._broker.links.remove(self)
            if self._will:
                self._broker.take(self._will)

    def deliver(self, message: Message, *, retained: bool = False) -> None:
        """Take a message from the broker when its topic was asked for."""
        with self._changed:
            if message.topic in self._topics:
                self._happened.append(Received(message.topic, message.payload, retained))
                self._changed.notify()

    def lose(self) -> None:
        """Lose the connection, as when a cable is pulled."""
        with self._changed:
            self._lost = True
            self._changed.notify()
        self.abandon()

    def _require(self) -> None:
        if self._lost:
            raise UplinkError("connection lost")
