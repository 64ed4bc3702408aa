"""Time as a port: a Pi boots with the wrong date, so wall time is never trusted alone."""

import ctypes
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_STA_UNSYNC = 0x0040  # adjtimex(2), <linux/timex.h>
_TIMEX_SIZE_BYTES = 512  # larger than struct timex on every supported architecture
_TIMEX_STATUS_WORD = 10 if ctypes.sizeof(ctypes.c_long) == 8 else 5  # noqa: PLR2004 - LP64 or ILP32


class Clock(Protocol):
    """What the agent asks of time."""

    def wall(self) -> datetime:
        """Return the wall time in UTC; it may be wrong and may jump."""

    def mono(self) -> float:
        """Return seconds that only ever grow, comparable within one boot of the machine."""

    def synced(self) -> bool:
        """Tell whether a time source (NTP, GNSS) currently disciplines the wall time."""


class SystemClock:
    """The machine's own clocks."""

    def wall(self) -> datetime:
        """Return the system's wall time in UTC."""
        return datetime.now(UTC)

    def mono(self) -> float:
        """Return CLOCK_MONOTONIC in seconds."""
        return time.monotonic()

    def synced(self) -> bool:
        """Ask the kernel: STA_UNSYNC of adjtimex(2) is clear while a time daemon is in control."""
        buffer = (ctypes.c_int * (_TIMEX_SIZE_BYTES // ctypes.sizeof(ctypes.c_int)))()
        if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(buffer)) < 0:
            return False
        return not buffer[_TIMEX_STATUS_WORD] & _STA_UNSYNC


class FakeClock:
    """A clock that moves only when told to; it starts in 1970 like a Pi without a battery."""

    def __init__(
        self, *, wall: datetime = datetime(1970, 1, 1, tzinfo=UTC), synced: bool = False
    ) -> None:
        self._wall = wall
        self._mono = 0.0
        self._synced = synced

    def wall(self) -> datetime:
        """Return the wall time set so far."""
        return self._wall

    def mono(self) -> float:
        """Return the seconds advanced so far."""
        return self._mono

    def synced(self) -> bool:
        """Tell what was set."""
        return self._synced

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass on both clocks."""
        self._mono += seconds
        self._wall += timedelta(seconds=seconds)

    def set_wall(self, wall: datetime, *, synced: bool = True) -> None:
        """Step the wall clock, as a time daemon does after boot."""
        self._wall = wall
        self._synced = synced
