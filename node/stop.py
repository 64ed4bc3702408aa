"""Lets a program end on its own terms when systemd or a person stops it: signal(7)."""

import signal
import threading


def stop_on_signal() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set from now on."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
