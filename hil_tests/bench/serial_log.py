"""Keeps what a real node says on its serial console."""

import threading
import time

import attr
from labgrid import target_factory
from labgrid.driver import Driver
from labgrid.protocol import ConsoleProtocol
from pexpect import TIMEOUT

from hil_tests.bench.protocols import ConsoleLogProtocol

_READ_SECONDS = 0.5


@target_factory.reg_driver
@attr.s(eq=False)
class SerialLog(Driver, ConsoleLogProtocol):
    """Reads the console in a thread while it is active."""

    bindings = {"console": ConsoleProtocol}  # noqa: RUF012 - labgrid's way to say it

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self._lock = threading.Lock()
        self._lines: list[tuple[float, str]] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def on_activate(self) -> None:
        """Begin to read."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._read, name="console", daemon=True)
        self._thread.start()

    def on_deactivate(self) -> None:
        """Stop reading."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def lines(self) -> list[str]:
        """Return what the console said."""
        with self._lock:
            first = self._lines[0][0] if self._lines else 0.0
            return [f"{mono - first:8.2f} {text}" for mono, text in self._lines]

    def _read(self) -> None:
        rest = ""
        while not self._stop.is_set():
            try:
                rest += self.console.read(timeout=_READ_SECONDS).decode("utf-8", "replace")
            except TIMEOUT:
                continue
            *whole, rest = rest.split("\n")
            with self._lock:
                self._lines += [(time.monotonic(), line.strip("\r")) for line in whole]
