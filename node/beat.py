"""Keeps the beat of a source that measures at a fixed interval."""

import math
import threading
from collections.abc import Iterator

from node.clock import Clock


def beats(stop: threading.Event, *, clock: Clock, interval_seconds: float) -> Iterator[None]:
    """Yield at once and then every `interval_seconds`, until `stop` is set.

    The beat does not drift with the time that the work takes. Beats that were missed (a suspended
    machine, a slow disk) are not made up for.
    """
    start = clock.mono()
    while not stop.is_set():
        yield
        elapsed_seconds = clock.mono() - start
        beat = math.floor(elapsed_seconds / interval_seconds) + 1
        stop.wait(beat * interval_seconds - elapsed_seconds)
