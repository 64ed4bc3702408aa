"""The source that shows the node's condition on the lamp and says what the contacts do."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TypeAlias

from node.board.contact import Lid, Presses
from node.board.lamp import Lamp
from node.board.lines import Levels, Lines
from node.board.status import Condition, Status, status_of
from node.clock import Clock
from node.errors import BoardError
from node.messages import ButtonPressed, Tamper
from node.source import Sink

_LOOK_SECONDS_MAX = 0.5
_LOG = logging.getLogger(__name__)

OpenLines: TypeAlias = Callable[[Callable[[], None]], Lines]
"""Opens the lines of the board, given whom to call when a contact moves; raises BoardError."""


class BoardSource:
    """Runs the lamp and watches the contacts; implements node.source.Source."""

    name = "board"

    def __init__(
        self, open_lines: OpenLines, *, condition: Callable[[], Condition], clock: Clock
    ) -> None:
        """Open the lines by `open_lines` at every run; `condition` tells how the node fares."""
        self._open_lines = open_lines
        self._condition = condition
        self._clock = clock
        self._started_mono = clock.mono()
        self._identify_until_mono = self._started_mono
        self._wake = threading.Event()
        self._runs = False

    def identify(self, seconds: float) -> None:
        """Have the lamp say "here I am" for `seconds` from now; callable from any thread.

        Raises BoardError while nothing lights the lamp.
        """
        if not self._runs:
            raise BoardError("the board's lines are not open; they are opened again by themselves")
        self._identify_until_mono = self._clock.mono() + seconds
        self._wake.set()

    def run(self, sink: Sink, stop: threading.Event) -> None:
        """Watch and light until `stop` is set. Raises BoardError."""
        with closing(self._open_lines(self._wake.set)) as lines, self._running():
            presses, lid, lamp = Presses(), Lid(), Lamp(lines)
            while not stop.is_set():
                self._wake.clear()  # before reading: what moves from here on wakes again
                now = self._clock.mono()
                _tell(lines.read(), presses, lid, now=now, sink=sink)
                lamp_due_mono = lamp.show(self._status(now), now)
                due_mono = min(presses.due_mono(), lid.due_mono(), lamp_due_mono)
                self._wake.wait(min(_LOOK_SECONDS_MAX, max(0.0, due_mono - self._clock.mono())))

    @contextmanager
    def _running(self) -> Iterator[None]:
        self._runs = True
        try:
            yield
        finally:
            self._runs = False

    def _status(self, now: float) -> Status:
        return status_of(
            self._condition(),
            since_start_seconds=now - self._started_mono,
            identify=now < self._identify_until_mono,
        )


def _tell(levels: Levels, presses: Presses, lid: Lid, *, now: float, sink: Sink) -> None:
    if (press := presses.step(levels.pressed, now)) is not None:
        _LOG.info("service button: %s press", press)
        sink.event("button", ButtonPressed(press=press))
    if lid.step(levels.opened, now):
        _LOG.warning("the box was %s", "opened" if lid.opened else "closed")
        sink.event("tamper", Tamper(opened=lid.opened))
