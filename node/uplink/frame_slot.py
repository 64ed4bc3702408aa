"""Holds the newest public still until it is sent: in memory only, so no picture lies on a card.

A still is the first thing to be sacrificed: a newer one replaces it, and one that was on its way
when the connection ended is not sent again.
"""

import threading


class FrameSlot:
    """Room for one still; safe to use from any thread."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._jpeg: bytes | None = None
        self._replaced_count = 0

    @property
    def replaced_count(self) -> int:
        """Stills that a newer one replaced before they were sent."""
        return self._replaced_count

    def put(self, jpeg: bytes) -> None:
        """Hold `jpeg` instead of what was there."""
        with self._lock:
            if self._jpeg is not None:
                self._replaced_count += 1
            self._jpeg = jpeg

    def take(self) -> bytes | None:
        """Return the newest still and forget it."""
        with self._lock:
            jpeg, self._jpeg = self._jpeg, None
            return jpeg
