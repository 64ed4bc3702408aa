"""Holds the clock's offset to the cases in which the kernel knows one."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import ReadingError
from node.health.timex import parse_timex, read_timex

PLL, UNSYNC, NANO = 0x0001, 0x0040, 0x2000


@pytest.mark.parametrize(
    ("status", "offset", "seconds"),
    [
        (PLL, -2500, -0.0025),
        (PLL | NANO, 2_500_000, 0.0025),
        (PLL | UNSYNC, 2500, None),
        (NANO, 0, None),
    ],
)
def test_offset_is_told_only_while_the_kernel_steers(
    make_timex: Callable[..., bytes], status: int, offset: int, seconds: float | None
) -> None:
    figures = parse_timex(make_timex(offset=offset, status=status))
    assert figures.get("clock_offset_seconds") == seconds


@given(garbage=st.binary(max_size=256))
def test_garbage_raises_the_stated_error_only(garbage: bytes) -> None:
    try:
        assert set(parse_timex(garbage)) <= {"clock_offset_seconds"}
    except ReadingError:
        assert len(garbage) < 48


def test_this_kernel_answers() -> None:
    offset = parse_timex(read_timex()).get("clock_offset_seconds", 0.0)
    assert offset is not None
    assert abs(offset) <= 0.5, "MAXPHASE of the kernel"
