"""Holds what the broker delivered until the database has it; bounded in count and bytes."""

import threading
from collections import deque
from datetime import datetime
from typing import NamedTuple


class Delivery(NamedTuple):
    """One message as it came, and what it takes to acknowledge it."""

    topic: str
    payload: bytes
    retained: bool
    received_at: datetime
    connection: int
    """Number of the connection that brought it: only there can it be acknowledged."""
    mid: int
    """Packet identifier on that connection; 0 when no acknowledgement is due."""


class Inbox:
    """A queue between the network's thread and the database's."""

    def __init__(self, *, count_max: int = 20_000, bytes_max: int = 64 * 2**20) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[Delivery] = deque()
        self._bytes = 0
        self._count_max = count_max
        self._bytes_max = bytes_max

    def put(self, delivery: Delivery) -> None:
        """Add a delivery. Whoever reads the network asks full() first, and pauses."""
        with self._changed:
            self._waiting.append(delivery)
            self._bytes += len(delivery.payload)
            self._changed.notify()

    def full(self) -> bool:
        """Tell whether a bound is reached."""
        with self._changed:
            return len(self._waiting) >= self._count_max or self._bytes >= self._bytes_max

    def take(self, count_max: int, *, timeout_seconds: float) -> list[Delivery]:
        """Return up to `count_max` deliveries, oldest first; none when none came in time.

        What arrives while a batch is being committed makes up the next one, so batches grow
        with the load and nobody waits for one to fill.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting, timeout=timeout_seconds)
            batch = [self._waiting.popleft() for _ in range(min(count_max, len(self._waiting)))]
            self._bytes -= sum(len(delivery.payload) for delivery in batch)
            return batch
