"""The port of the board's lines: one lamp, and two contacts that can be read."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Levels:
    """What the contacts say at one moment; one that is not wired says False."""

    pressed: bool = False
    """Whether the service button is held down."""
    opened: bool = False
    """Whether the box is open."""


class Lines(Protocol):
    """The lines of one board. They call back when a contact may have moved, from any thread."""

    def light(self, *, lit: bool) -> None:
        """Switch the lamp; nothing happens on a board without one. Raises BoardError."""

    def read(self) -> Levels:
        """Read both contacts as they are now, bouncing or not. Raises BoardError."""

    def close(self) -> None:
        """Switch the lamp off and give the lines back."""
