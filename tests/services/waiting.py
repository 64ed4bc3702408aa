"""Waits for something that no event announces, such as a row in another process's database."""

import threading
import time
from collections.abc import Callable


def until(condition: Callable[[], bool], what: str, *, seconds: float = 30.0) -> None:
    """Return once `condition` holds. Raises TimeoutError naming `what` after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        threading.Event().wait(0.05)
