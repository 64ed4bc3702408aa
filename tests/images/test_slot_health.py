"""A trial is confirmed by an agent that goes on running, and by no other."""

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slot_boot.health import Pulse, parse_pulse, wait_well

UP = Pulse(active=True, pid=7, restarts=0, words="active/running/success")
DOWN = Pulse(active=False, pid=0, restarts=3, words="activating/auto-restart/exit-code")


class Hours:
    """A clock that only `sleep` moves, and an agent that changes with it."""

    def __init__(self, pulses: dict[float, Pulse]) -> None:
        self.now = 0.0
        self.pulses = pulses

    def look(self) -> Pulse:
        return self.pulses[max(at for at in self.pulses if at <= self.now)]

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def verdict(self) -> str:
        return wait_well(
            self.look,
            soak_seconds=60,
            patience_seconds=480,
            clock=self.clock,
            sleep=self.sleep,
        )


def test_an_agent_that_runs_is_confirmed_after_its_soak() -> None:
    hours = Hours({0: DOWN, 100: UP})
    assert hours.verdict() == ""
    assert 160 <= hours.now <= 165


def test_an_agent_that_restarts_is_given_another_soak() -> None:
    again = Pulse(active=True, pid=8, restarts=1, words=UP.words)
    hours = Hours({0: UP, 50: again})
    assert hours.verdict() == ""
    assert hours.now >= 110


def test_an_agent_that_never_comes_up_is_told() -> None:
    hours = Hours({0: DOWN})
    assert "activating/auto-restart/exit-code, restarted 3 times" in hours.verdict()
    assert 480 <= hours.now <= 485


def test_an_agent_that_crashes_again_and_again_is_told() -> None:
    numbers = count()

    def look() -> Pulse:
        number = next(numbers) // 10
        return Pulse(active=True, pid=number, restarts=number, words=UP.words)

    hours = Hours({})
    verdict = wait_well(
        look, soak_seconds=60, patience_seconds=480, clock=hours.clock, sleep=hours.sleep
    )
    assert "restarted" in verdict


@given(st.text())
def test_any_answer_of_systemd_is_read(text: str) -> None:
    assert isinstance(parse_pulse(text).active, bool)


@pytest.mark.parametrize(
    ("text", "pulse"),
    [
        ("ActiveState=active\nSubState=running\nMainPID=7\nNRestarts=0\nResult=success\n", UP),
        ("", Pulse(active=False, pid=0, restarts=0, words="?/?/?")),
    ],
)
def test_an_answer_of_systemd_is_understood(text: str, pulse: Pulse) -> None:
    assert parse_pulse(text) == pulse
