"""Has the lamp show one status after the other; alone, too, before there is an agent."""

import logging
import threading
from contextlib import closing

from node.board.lines import Lines
from node.board.status import Status
from node.clock import Clock

_LOOK_SECONDS_MAX = 0.5
_LOG = logging.getLogger(__name__)


class Lamp:
    """Lights what a status wants, each from the start of its pattern."""

    def __init__(self, lines: Lines) -> None:
        """Light the lamp of `lines`."""
        self._lines = lines
        self._status: Status | None = None
        self._since_mono = 0.0
        self._lit: bool | None = None

    def show(self, status: Status, mono: float) -> float:
        """Light what `status` wants at `mono`; return when the lamp has to change, in seconds.

        Raises BoardError.
        """
        if status is not self._status:
            _LOG.info("the lamp says: %s", status.words)
            self._status, self._since_mono = status, mono
        lit, left_seconds = status.value.at(mono - self._since_mono)
        if lit != self._lit:
            self._lines.light(lit=lit)
            self._lit = lit
        return mono + left_seconds


def show_until(lines: Lines, status: Status, stop: threading.Event, clock: Clock) -> None:
    """Show `status` until `stop` is set; the lines are closed then. Raises BoardError."""
    with closing(lines):
        lamp = Lamp(lines)
        while not stop.is_set():
            due_mono = lamp.show(status, clock.mono())
            stop.wait(min(_LOOK_SECONDS_MAX, max(0.0, due_mono - clock.mono())))
