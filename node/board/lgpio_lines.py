"""Lines of the header's chip, through lgpio: the real ones of a Raspberry Pi."""

from collections.abc import Callable

import lgpio
from gpiozero.pins.lgpio import LGPIOFactory

from node.board.gpiozero_lines import GpiozeroLines, explained
from node.settings import Board


def open_lgpio(board: Board, moved: Callable[[], None]) -> GpiozeroLines:
    """Return the lines of /dev/gpiochip`board.chip`. Raises BoardError."""
    errors = (lgpio.error,)
    with explained(f"/dev/gpiochip{board.chip} cannot be opened; see chip in [board]", errors):
        factory = LGPIOFactory(chip=board.chip)
    return GpiozeroLines(board, factory, moved, errors=errors)
