"""The ports every source meets: what it is (Source, SlowStarter), and whom it tells (Sink)."""

import threading
from typing import Protocol, runtime_checkable

from msgspec import Struct


class Sink(Protocol):
    """Takes what a source measured; never blocks on a disk or a network."""

    def measure(self, kind: str, data: Struct) -> None:
        """Take a measurement; `kind` is one of messages.KINDS."""

    def event(self, name: str, data: Struct) -> None:
        """Take an event; `name` is one of messages.EVENTS. Events are never sacrificed."""

    def frame(self, jpeg: bytes, *, width: int, height: int, mono: float, simulated: bool) -> None:
        """Take the newest public still; it replaces one that was not sent yet.

        `mono` is the monotonic time, in seconds, at which the frame was captured.
        """


class Source(Protocol):
    """Something that measures until it is told to stop."""

    @property
    def name(self) -> str:
        """Name of the source in logs and events."""

    def run(self, sink: Sink, stop: threading.Event) -> None:
        """Measure until `stop` is set, then return within two seconds.

        Any exception means the source failed: it is reported and run again after a back-off.
        """


@runtime_checkable
class SlowStarter(Protocol):
    """A source that may run for long before it works; any other works as soon as it runs."""

    @property
    def works_since_mono(self) -> float | None:
        """Monotonic time, in seconds, since when this run works; None while it does not yet."""
