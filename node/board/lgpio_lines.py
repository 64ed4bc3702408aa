"""Lines of the header's chip, through lgpio: the real ones of a Raspberry Pi."""

import time
from collections.abc import Callable
from contextlib import suppress

import lgpio
from gpiozero.pins.lgpio import LGPIOFactory

from node.board.gpiozero_lines import GpiozeroLines, explained
from node.errors import BoardError
from node.settings import Board

_ATTEMPTS = 20
_PAUSE_SECONDS = 0.05


def open_lgpio(board: Board, moved: Callable[[], None]) -> GpiozeroLines:
    """Return the lines of /dev/gpiochip`board.chip`. Raises BoardError after a second of trying.

    gpiozero gives a line back to claim it otherwise. What the process starts just then, as its
    camera, holds a copy of the line until it runs (fork(2), execve(2)), and the line is busy.
    """
    for _ in range(_ATTEMPTS - 1):
        with suppress(BoardError):
            return _open(board, moved)
        time.sleep(_PAUSE_SECONDS)  # nothing tells when
    return _open(board, moved)


def _open(board: Board, moved: Callable[[], None]) -> GpiozeroLines:
    errors = (lgpio.error,)
    with explained(f"/dev/gpiochip{board.chip} cannot be opened; see chip in [board]", errors):
        factory = LGPIOFactory(chip=board.chip)
    return GpiozeroLines(board, factory, moved, errors=errors)
