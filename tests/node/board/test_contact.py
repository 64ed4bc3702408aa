"""Bouncing contacts and presses, on a clock that only the test moves."""

import math

from hypothesis import given
from hypothesis import strategies as st

from node.board.contact import LONG_PRESS_SECONDS, SETTLE_SECONDS, Contact, Press, Presses

BOUNCES = st.lists(st.floats(0.0001, SETTLE_SECONDS * 0.9), max_size=20)


class Finger:
    """Moves a button and steps it as the source does: at every move and when it asks to."""

    def __init__(self) -> None:
        self.presses = Presses()
        self.told: list[Press] = []
        self._now = 0.0
        self._down = False

    def _step(self) -> None:
        if (press := self.presses.step(self._down, self._now)) is not None:
            self.told.append(press)

    def wait(self, seconds: float) -> None:
        end = self._now + seconds
        while (due := self.presses.due_mono()) <= end:
            self._now = max(due, math.nextafter(self._now, math.inf))
            self._step()
        self._now = end

    def move(self, *, down: bool, bounces: list[float] = []) -> None:  # noqa: B006 - only read
        self._down = down
        self._step()
        for seconds in bounces:
            self.wait(seconds)
            self._down = not self._down
            self._step()
        self._down = down
        self._step()


@given(bounces=BOUNCES)
def test_bouncing_settles_on_nothing(bounces: list[float]) -> None:
    contact = Contact()
    now, level = 0.0, False
    for seconds in bounces:
        level = not level
        assert not contact.step(level, now)
        now += seconds
    contact.step(level=False, mono=now)
    assert contact.due_mono() == math.inf
    assert not contact.settled


@given(bounces=BOUNCES, held=st.floats(SETTLE_SECONDS * 2, LONG_PRESS_SECONDS - 1))
def test_a_short_press_is_told_once_at_its_end(bounces: list[float], held: float) -> None:
    finger = Finger()
    finger.move(down=True, bounces=bounces)
    finger.wait(held)
    assert finger.told == []
    finger.move(down=False, bounces=bounces)
    finger.wait(10)
    assert finger.told == ["short"]


@given(bounces=BOUNCES, more=st.floats(0, 100))
def test_a_long_press_is_told_once_while_it_is_held(bounces: list[float], more: float) -> None:
    finger = Finger()
    finger.move(down=True, bounces=bounces)
    finger.wait(LONG_PRESS_SECONDS + SETTLE_SECONDS + 0.001)
    assert finger.told == ["long"]
    finger.wait(more)
    finger.move(down=False, bounces=bounces)
    finger.wait(10)
    assert finger.told == ["long"]


def test_presses_are_told_in_turn() -> None:
    finger = Finger()
    for seconds in (0.2, 4.0, 0.1):
        finger.move(down=True)
        finger.wait(seconds)
        finger.move(down=False)
        finger.wait(0.2)
    assert finger.told == ["short", "long", "short"]


def test_a_spark_is_no_press() -> None:
    finger = Finger()
    finger.move(down=True)
    finger.wait(SETTLE_SECONDS / 2)
    finger.move(down=False)
    finger.wait(10)
    assert finger.told == []
