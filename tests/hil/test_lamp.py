"""A lamp's status is read from looks at it, whenever these begin and however they jitter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil_tests.bench.lamp import read_lamp
from hil_tests.bench.protocols import Look
from node.board.status import Status

LOOK_SECONDS = 0.02


def looks(status: Status, begin: float, seconds: float, jitter: list[float]) -> list[Look]:
    count = round(seconds / LOOK_SECONDS)
    times = [
        begin + index * LOOK_SECONDS + jitter[index % len(jitter)] * LOOK_SECONDS
        for index in range(count)
    ]
    return [Look(mono, status.value.at(mono)[0]) for mono in sorted(times)]


@pytest.mark.parametrize("status", Status)
@given(
    begin=st.floats(0, 10, allow_nan=False),
    jitter=st.lists(st.floats(-1, 1, allow_nan=False), min_size=1, max_size=7),
)
def test_every_status_is_read(status: Status, begin: float, jitter: list[float]) -> None:
    assert read_lamp(looks(status, begin, 12.0, jitter)) == status.words


def test_a_steady_lamp_is_told() -> None:
    assert read_lamp([Look(index / 50, lit=True) for index in range(300)]) == "steady"
    assert read_lamp([]) == "steady"
