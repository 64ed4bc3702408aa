"""Turns the bouncing level of a contact into moves, and the button's moves into presses. Pure."""

import math
from typing import Literal, TypeAlias

SETTLE_SECONDS = 0.03
"""A level counts once it has held this long: switches bounce for 1 to 20 ms."""

LONG_PRESS_SECONDS = 3.0
"""From here on a press is long; it is told while the button is still held."""

MOVES_AT_ONCE_MAX = 10
MOVE_SECONDS = 300.0
"""So many moves of the lid are told at once, and one more for every so long: the work at a box is
told as it is, and a contact that rattles less than two dozen times in its first hour."""

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


class Lid:
    """Tells that the box was opened or closed; of a contact that rattles, only now and then.

    Every such event is kept until the hub has it, and a loose contact on a swaying pole makes
    thousands an hour. What waits is told late: in the end the level told last is the real one.
    """

    def __init__(self) -> None:
        """Begin with a closed box."""
        self.opened = False  # as told last
        self._contact = Contact()
        self._spent_mono = -math.inf
        """Until when what was told lasts, MOVE_SECONDS each (as in ITU-T I.371, GCRA)."""

    def step(self, opened: bool, mono: float) -> bool:  # noqa: FBT001 - as above
        """Take the contact's level as read at `mono`; tell whether `opened` is to be told anew."""
        self._contact.step(opened, mono)
        if self._contact.settled == self.opened or mono < self._free_mono():
            return False
        self.opened = self._contact.settled
        self._spent_mono = max(self._spent_mono, mono) + MOVE_SECONDS
        return True

    def due_mono(self) -> float:
        """Return when to look again, in seconds; infinite when nothing is under way."""
        waits = self._contact.settled != self.opened
        return min(self._contact.due_mono(), self._free_mono() if waits else math.inf)

    def _free_mono(self) -> float:
        return self._spent_mono - (MOVES_AT_ONCE_MAX - 1) * MOVE_SECONDS


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
