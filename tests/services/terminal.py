"""Reads what a program shows on the terminal that a test made for it, and presses Ctrl-C there."""

import os
import select

_CTRL_C = b"\x03"
_HEARD_SECONDS = 5.0


def read_until(terminal: int, words: bytes) -> bytes:
    """Return what a terminal shows up to `words`; to its end when they are empty."""
    said = b""
    while not words or words not in said:
        piece = _read(terminal)
        if not piece:
            break
        said += piece
    return said


def interrupt(terminal: int) -> bytes:
    """Press Ctrl-C, and return what the terminal shows from then on to its end.

    Pressed again where nothing comes of it: Python looks for it before it begins to read, and what
    comes in between, which no person is fast enough for, it learns of when the reading ends.
    """
    said = b""
    os.write(terminal, _CTRL_C)
    while True:
        if not select.select([terminal], [], [], _HEARD_SECONDS)[0]:
            os.write(terminal, _CTRL_C)
            continue
        piece = _read(terminal)
        if not piece:
            return said
        said += piece


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # the other side is closed
        return b""
