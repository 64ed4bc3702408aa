"""Brings what the camera process says on stderr into the agent's log, but never floods it."""

import logging
import time

_LOG = logging.getLogger("node.camera")
_LINE_BYTES_MAX = 500
_LINES_PER_MINUTE = 60
_MINUTE_SECONDS = 60.0


class StderrLog:
    """Splits bytes into lines and logs them, cut to 500 bytes and at most sixty a minute."""

    def __init__(self) -> None:
        self._rest = b""
        self._minute_start = time.monotonic()
        self._lines_in_minute = 0
        self._last_line = ""

    @property
    def last_line(self) -> str:
        """The newest line, or what there is of it."""
        return _text(self._rest) or self._last_line

    def feed(self, piece: bytes) -> None:
        """Take the next bytes."""
        *lines, rest = (self._rest + piece).split(b"\n")
        self._rest = rest[:_LINE_BYTES_MAX]
        for line in lines:
            if text := _text(line):
                self._last_line = text
                self._log(text)

    def _log(self, text: str) -> None:
        now = time.monotonic()
        if now - self._minute_start >= _MINUTE_SECONDS:
            self._minute_start, self._lines_in_minute = now, 0
        self._lines_in_minute += 1
        if self._lines_in_minute <= _LINES_PER_MINUTE:
            _LOG.info("camera process: %s", text)
        elif self._lines_in_minute == _LINES_PER_MINUTE + 1:
            _LOG.warning("camera process: it says too much; the rest of this minute is left out")


def _text(line: bytes) -> str:
    """Return a line as printable text."""
    text = line[:_LINE_BYTES_MAX].decode("utf-8", "replace").strip()
    return "".join(letter if letter.isprintable() else "?" for letter in text)
