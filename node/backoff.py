"""Pauses between attempts: doubling up to a limit, with jitter so that a fleet does not march."""

import random


class Backoff:
    """Pauses in seconds; call `reset` after success."""

    def __init__(self, *, min_seconds: float, max_seconds: float) -> None:
        """Start with the shortest pause."""
        self._min_seconds = min_seconds
        self._max_seconds = max_seconds
        self._failures = 0

    def next_seconds(self) -> float:
        """Return the pause after one more failure: between half and all of the doubled limit."""
        limit = min(self._max_seconds, self._min_seconds * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return limit * random.uniform(0.5, 1)  # noqa: S311 - jitter is no secret

    def reset(self) -> None:
        """Begin again with the shortest pause."""
        self._failures = 0
