"""Reads what a program shows on the terminal that a test made for it."""

import os


def read_until(terminal: int, words: bytes) -> bytes:
    """Return what a terminal shows up to `words`; to its end when they are empty."""
    said = b""
    while not words or words not in said:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # the other side is closed
            break
        if not piece:
            break
        said += piece
    return said
