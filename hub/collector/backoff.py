"""Pauses between attempts: they double, and jitter keeps many hubs and nodes from marching."""

import random


class Backoff:
    """The next pause, in seconds; between half and the whole of a bound that doubles."""

    def __init__(self, *, min_seconds: float, max_seconds: float) -> None:
        self._min = min_seconds
        self._max = max(min_seconds, max_seconds)
        self._bound = min_seconds

    def next_seconds(self) -> float:
        """Return the pause before the next attempt."""
        bound = self._bound
        self._bound = min(self._bound * 2, self._max)
        return bound * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing

    def reset(self) -> None:
        """Start again from the shortest pause, after a success."""
        self._bound = self._min
