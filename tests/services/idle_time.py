"""Stands in for the module `time` where nobody shall really wait."""


class IdleTime:
    """A clock that goes on only while somebody sleeps, and then at once."""

    def __init__(self) -> None:
        """Begin at 0."""
        self.now_s = 0.0

    def monotonic(self) -> float:
        """Return the seconds that were slept."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        self.now_s += seconds
