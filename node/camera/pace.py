"""Keeps a sensor at the rate that was asked for, and tells how old a frame is."""

import time

_EARLY_SECONDS = 0.002  # rounding of timestamps must not cost every second frame
_STAMP_AGE_MAX_SECONDS = 60.0


class Pace:
    """Picks frames so that they come at most `frames_per_second` times a second on average."""

    def __init__(self, frames_per_second: float) -> None:
        self._interval_seconds = 1 / frames_per_second
        self._next: float | None = None

    def takes(self, seconds: float) -> bool:
        """Tell whether the frame at `seconds`, on any clock that runs evenly, is wanted."""
        if self._next is None:
            self._next = seconds
        if seconds < self._next - _EARLY_SECONDS:
            return False
        self._next = max(self._next + self._interval_seconds, seconds)
        return True


def mono_of_stamp(stamp_seconds: float | None, *, now: float) -> float:
    """Return the CLOCK_MONOTONIC of a frame from a driver's stamp.

    A stamp on another clock (in the future, or more than a minute ago) is not believed: then it is
    `now`.
    """
    if stamp_seconds is None or not now - _STAMP_AGE_MAX_SECONDS < stamp_seconds <= now:
        return now
    return stamp_seconds


def wait_until(mono: float) -> None:
    """Sleep until CLOCK_MONOTONIC is `mono`; return at once when it has passed."""
    remaining = mono - time.monotonic()
    if remaining > 0:
        time.sleep(remaining)
