"""What the lamp shows: patterns that a person can tell apart, the most urgent first."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.board.status import BOOTING_SECONDS_MAX, Condition, Pattern, Status, status_of

STEPS = st.lists(st.floats(0.05, 5), min_size=2, max_size=8).filter(lambda s: len(s) % 2 == 0)


@given(steps=STEPS, start=st.floats(0, 1e6))
def test_a_pattern_walks_through_its_steps_and_begins_again(
    steps: list[float], start: float
) -> None:
    pattern = Pattern(tuple(steps))
    elapsed = start
    seen = []
    for _ in range(len(steps) + 1):
        lit, left_seconds = pattern.at(elapsed)
        seen.append(lit)
        assert 0 < left_seconds <= max(steps)
        elapsed += left_seconds + 1e-6
    assert all(one != other for one, other in itertools.pairwise(seen))


def test_a_pattern_says_how_long_it_stays() -> None:
    pattern = Pattern((1.0, 2.0))
    assert pattern.at(0.25) == (True, 0.75)
    assert pattern.at(1.5) == (False, 1.5)
    assert pattern.at(3.0) == (True, 1.0)


@pytest.mark.parametrize("status", Status, ids=lambda status: status.words)
def test_none_is_steady(status: Status) -> None:
    steps_seconds = status.value.steps_seconds
    assert len(steps_seconds) >= 2
    assert len(steps_seconds) % 2 == 0
    assert max(steps_seconds) <= 3


def test_no_two_look_alike() -> None:
    looks = {status.value.steps_seconds for status in Status}
    assert len(looks) == len(Status)


GOOD = Condition(connected=True, ever_connected=True, camera_fails=False)
CUT_OFF = Condition(connected=False, ever_connected=True, camera_fails=True)
BLIND = Condition(connected=True, ever_connected=True, camera_fails=True)
NEW = Condition(connected=False, ever_connected=False, camera_fails=False)


@pytest.mark.parametrize(
    ("condition", "since_start_seconds", "identify", "shown"),
    [
        (GOOD, 5, 0, Status.WORKING),
        (GOOD, 5, 1, Status.IDENTIFY),
        (CUT_OFF, 5, 1, Status.IDENTIFY),
        (CUT_OFF, 5, 0, Status.NO_UPLINK),
        (BLIND, 5, 0, Status.NO_CAMERA),
        (NEW, 5, 0, Status.BOOTING),
        (NEW, BOOTING_SECONDS_MAX, 0, Status.NO_UPLINK),
    ],
)
def test_the_most_urgent_is_shown(
    condition: Condition, since_start_seconds: float, identify: int, shown: Status
) -> None:
    status = status_of(condition, since_start_seconds=since_start_seconds, identify=bool(identify))
    assert status is shown
