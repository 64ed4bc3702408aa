"""Types commands into the root shell on a booted card's console, and reads what they say."""

import itertools
import re

from provisioning.image.boot.board import Board

_NUMBERS = itertools.count(1)


def wait_for_shell(board: Board, *, timeout_s: float) -> None:
    """Return once somebody answers on the console."""
    board.wait_for("Started .*debug-shell.service|debug-shell.service - ", timeout_s=timeout_s)


def ask(board: Board, command: str, *, timeout_s: float = 120) -> list[str]:
    """Return the lines that `command` (sh) says; the status is no matter."""
    number = next(_NUMBERS)
    first = len(board.lines)
    # The marks are put together by the guest, so that the echo of what is typed is none.
    board.send(f"echo @@'{number}'begin; {command}; echo @@'{number}'end")
    start = board.wait_for(rf"^@@{number}begin", timeout_s=timeout_s, after=first)
    end = board.wait_for(rf"@@{number}end", timeout_s=timeout_s, after=start)
    kernel = re.compile(r"^\[ *\d+\.\d+\] ")
    return [line.text for line in board.lines[start : end - 1] if not kernel.match(line.text)]
