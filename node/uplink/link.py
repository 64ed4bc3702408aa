"""The port to an MQTT broker: one connection, driven by one thread."""

from collections.abc import Sequence
from typing import Protocol, TypeAlias

from msgspec import Struct


class Message(Struct, frozen=True, kw_only=True):
    """An MQTT application message, sent with QoS 1."""

    topic: str
    payload: bytes
    retain: bool = False


class Acknowledged(Struct, frozen=True):
    """The broker took responsibility for the message with this token (PUBACK)."""

    token: int


class Received(Struct, frozen=True):
    """A message arrived on a topic that was subscribed to; `retained` when it was there before."""

    topic: str
    payload: bytes
    retained: bool = False


Happening: TypeAlias = Acknowledged | Received


class LinkQuality(Struct, frozen=True, kw_only=True):
    """How good the connection is; None where the system cannot tell."""

    round_trip_seconds: float | None = None
    loss_ratio: float | None = None


class Link(Protocol):
    """One connection; a new object for every attempt, so that nothing queues behind our back.

    Only `wake` may be called from another thread. Every other method raises UplinkError once the
    connection is lost, refused or cannot be made.
    """

    def open(self, broker: str, will: Message) -> None:
        """Connect to `broker` (mqtt:// or mqtts://host:port) and wait for its consent."""

    def subscribe(self, topic: str) -> None:
        """Ask for messages on `topic`; what is retained there comes first."""

    def publish(self, message: Message) -> int:
        """Send a message; return the token that Acknowledged will carry."""

    def turn(self, timeout_seconds: float) -> Sequence[Happening]:
        """Let the connection work until something happens, `wake` is called, or time is up."""

    def wake(self) -> None:
        """End the current or the next `turn` early."""

    def quality(self) -> LinkQuality:
        """Return how good the connection is now."""

    def close(self) -> None:
        """Leave without a last will; never raises."""

    def abandon(self) -> None:
        """Drop the connection so that the broker publishes the last will; never raises."""
