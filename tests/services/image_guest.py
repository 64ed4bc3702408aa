"""Types commands into the root shell on a booted card's console, and reads what they say."""

import itertools
import time
from pathlib import Path

from provisioning.image.boot.board import Board
from provisioning.image.boot.errors import MachineTimeoutError
from provisioning.image.boot.fat_files import read_file, write_files
from provisioning.image.boot.partitions import read_partitions

SHELL_WORDS = "systemd.debug_shell=ttyAMA0 systemd.log_color=no"
"""Kernel arguments with which a root shell answers on the console."""
_BOOT_A = 2
_STARTED = "Started .*debug-shell.service|debug-shell.service - "
_PATIENCE_S = 5.0
_NUMBERS = itertools.count(1)


def add_words(card: Path, words: str) -> None:
    """Add kernel arguments to slot A."""
    boot = read_partitions(card)[_BOOT_A]
    line = (read_file(card, boot, "cmdline.txt") or b"").decode().strip()
    write_files(card, boot, {"cmdline.txt": f"{line} {words}\n".encode()})


def wait_for_shell(board: Board, *, timeout_s: float, boot: int = 0) -> None:
    """Return once somebody answers on the console of that boot, or a later one.

    What is typed before the shell has opened its terminal is thrown away (vhangup(2)).
    """
    first = board.wait_for(_STARTED, timeout_s=timeout_s)
    while board.lines[first - 1].boot < boot:
        first = board.wait_for(_STARTED, timeout_s=timeout_s, after=first)
    end_mono = time.monotonic() + timeout_s
    while True:
        number = next(_NUMBERS)
        board.send(f"echo @@'{number}'here")
        try:
            board.wait_for(rf"@@{number}here", timeout_s=_PATIENCE_S, after=first)
        except MachineTimeoutError:
            if time.monotonic() > end_mono:
                raise
        else:
            return


def ask(board: Board, command: str, *, timeout_s: float = 120) -> list[str]:
    """Return the lines that `command` (sh) says; the status is no matter."""
    number = next(_NUMBERS)
    first = len(board.lines)
    # The marks are put together by the guest, so that the echo of what is typed is none; kernel
    # and systemd, who speak on the same console, have none either.
    board.send(f"{{ {command}; }} 2>&1 | sed s/^/@@'{number}':/; echo @@'{number}'end")
    end = board.wait_for(rf"@@{number}end", timeout_s=timeout_s, after=first)
    mark = f"@@{number}:"
    said = (line.text.partition(mark) for line in board.lines[first:end])
    return [text for _, marked, text in said if marked]
