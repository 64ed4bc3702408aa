"""The beat starts at once, does not drift, makes up for nothing, and ends when told."""

import threading

import pytest

from node.beat import beats
from node.clock import FakeClock


class Waiting(threading.Event):
    """A stop event on which the clock moves for as long as it is awaited."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self._clock.advance(timeout)
        return self.is_set()


def test_work_that_takes_time_does_not_shift_the_beat() -> None:
    clock = FakeClock()
    stop = Waiting(clock)
    at = []
    for work_seconds, _ in zip(
        (0.0, 3.0, 9.5, 0.1, 25.0, 0.0, 0.0),
        beats(stop, clock=clock, interval_seconds=10),
        strict=False,
    ):
        at.append(clock.mono())
        clock.advance(work_seconds)
    assert at == pytest.approx([0, 10, 20, 30, 40, 70, 80])


def test_it_ends_when_told_even_before_the_first() -> None:
    clock = FakeClock()
    stop = Waiting(clock)
    taken = 0
    for _ in beats(stop, clock=clock, interval_seconds=10):
        taken += 1
        stop.set()
    assert taken == 1
    assert list(beats(stop, clock=clock, interval_seconds=10)) == []
