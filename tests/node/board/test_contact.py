"""Bouncing contacts and presses, on a clock that only the test moves."""

import math

from hypothesis import given
from hypothesis import strategies as st

from node.board.contact import (
    LONG_PRESS_SECONDS,
    MOVE_SECONDS,
    MOVES_AT_ONCE_MAX,
    SETTLE_SECONDS,
    Contact,
    Lid,
    Press,
    Presses,
)

HOUR_SECONDS = 3600.0
TOLD_PER_HOUR_MAX = MOVES_AT_ONCE_MAX + HOUR_SECONDS / MOVE_SECONDS
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


class Wind:
    """Moves a lid's contact and steps it as the source does: at every move and when it asks to."""

    def __init__(self) -> None:
        self.told: list[tuple[float, bool]] = []
        self.opened = False
        self.now = 0.0
        self._lid = Lid()

    def _step(self) -> None:
        if self._lid.step(self.opened, self.now):
            self.told.append((self.now, self._lid.opened))

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self._lid.due_mono()) <= end:
            self.now = max(due, math.nextafter(self.now, math.inf))
            self._step()
        self.now = end

    def move(self, seconds: float) -> None:
        """Open what is closed or close what is open, and leave it so for a while."""
        self.opened = not self.opened
        self._step()
        self.wait(seconds)

    def told_within_an_hour(self) -> int:
        """Return how many were told in the worst hour."""
        times = [mono for mono, _ in self.told]
        return max((sum(0 <= mono - t < HOUR_SECONDS for mono in times) for t in times), default=0)


# Rattling of one pace for a while.
STRETCHES = st.tuples(
    st.sampled_from([0.01, 0.1, 1.0, 10.0, MOVE_SECONDS, MOVE_SECONDS * MOVES_AT_ONCE_MAX])
    | st.floats(0.001, MOVE_SECONDS * 2),
    st.integers(1, 300),
)


@given(stretches=st.lists(STRETCHES, min_size=1, max_size=8))
def test_a_lid_is_told_rarely_and_rightly_whatever_it_does(
    stretches: list[tuple[float, int]],
) -> None:
    wind = Wind()
    for seconds, moves in stretches:
        for _ in range(moves):
            wind.move(seconds + SETTLE_SECONDS)
    assert wind.told_within_an_hour() <= TOLD_PER_HOUR_MAX
    wind.wait(MOVE_SECONDS + 1)
    told = [opened for _, opened in wind.told]
    assert (told or [False])[-1] == wind.opened
    assert told == [n % 2 == 0 for n in range(len(told))], "the same was told twice"


def test_work_at_a_box_is_told_as_it_is() -> None:
    wind = Wind()
    for _ in range(MOVES_AT_ONCE_MAX):
        moved_mono, count = wind.now, len(wind.told)
        wind.move(1)
        assert len(wind.told) == count + 1
        assert wind.told[-1][0] - moved_mono < 2 * SETTLE_SECONDS


def test_a_lid_that_has_been_quiet_is_believed_at_once_again() -> None:
    wind = Wind()
    for _ in range(20_001):
        wind.move(0.1)
    assert len(wind.told) <= TOLD_PER_HOUR_MAX
    wind.wait(MOVE_SECONDS * (MOVES_AT_ONCE_MAX + 1))
    told = len(wind.told)
    wind.move(1)
    wind.move(1)
    assert len(wind.told) == told + 2
