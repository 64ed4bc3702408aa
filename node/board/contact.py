"""Turns the bouncing level of a contact into moves, and the button's moves into presses. Pure."""

import math
from typing import Literal, TypeAlias

SETTLE_SECONDS = 0.03
"""A level counts once it has held this long: switches bounce for 1 to 20 ms."""

LONG_PRESS_SECONDS = 3.0
"""From here on a press is long; it is told while the button is still held."""

Press: TypeAlias = Literal["short", "long"]


class Contact:
    """A contact whose level counts once it has settled."""

    def __init__(self, *, settled: bool = False) -> None:
        """Begin with `settled` as its level."""
        self.settled = settled
        self._latest = settled
        self._since_mono = -math.inf

    def step(self, level: bool, mono: float) -> bool:  # noqa: FBT001 - a level is what it takes
        """Take `level` as read at `mono`, in seconds; tell whether the settled level changed."""
        if level != self._latest:
            self._latest, self._since_mono = level, mono
        if self._latest == self.settled or mono - self._since_mono < SETTLE_SECONDS:
            return False
        self.settled = self._latest
        return True

    def due_mono(self) -> float:
        """Return when to look again, in seconds; infinite when nothing is under way."""
        settling = self._latest != self.settled
        return self._since_mono + SETTLE_SECONDS if settling else math.inf


class Presses:
    """Tells short presses from long ones."""

    def __init__(self) -> None:
        self._contact = Contact()
        self._down_mono = math.inf

    def step(self, pressed: bool, mono: float) -> Press | None:  # noqa: FBT001 - as above
        """Take the button's level as read at `mono`; return the press that it completes."""
        changed = self._contact.step(pressed, mono)
        if changed and self._contact.settled:
            self._down_mono = mono
        if mono - self._down_mono >= LONG_PRESS_SECONDS:
            self._down_mono = math.inf
            return "long"
        if changed and not self._contact.settled and self._down_mono < math.inf:
            self._down_mono = math.inf
            return "short"
        return None

    def due_mono(self) -> float:
        """Return when to look again, in seconds; infinite when nothing is under way."""
        return min(self._contact.due_mono(), self._down_mono + LONG_PRESS_SECONDS)
