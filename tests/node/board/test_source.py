"""The board's source as a person meets it, on gpiozero's mock.

The agent's own unit on the kernel's gpio-sim: tests/guest/board_units.py.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import msgspec
import pytest
from services.board_hands import BUTTON, LAMP, TAMPER, Hands, hands
from services.waiting import until

from node.board.contact import LONG_PRESS_SECONDS
from node.board.gpiozero_lines import GpiozeroLines
from node.board.source import BoardSource
from node.board.status import Condition
from node.clock import SystemClock
from node.errors import BoardError
from node.messages import ButtonPressed, Tamper
from node.settings import Board

BOARD = Board(adapter="gpiozero", lamp_pin=LAMP, button_pin=BUTTON, tamper_pin=TAMPER)
WORKING = Condition(connected=True, ever_connected=True, camera_fails=False)


class Ledger:
    """A sink that remembers events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, msgspec.Struct]] = []

    def measure(self, kind: str, data: msgspec.Struct) -> None:
        raise NotImplementedError

    def event(self, name: str, data: msgspec.Struct) -> None:
        self.events.append((name, data))

    def frame(self, jpeg: bytes, *, width: int, height: int, mono: float, simulated: bool) -> None:
        raise NotImplementedError


@pytest.fixture
def person() -> Iterator[Hands]:
    with hands("mock") as somebody:
        yield somebody


@contextmanager
def running(person: Hands, condition: Condition = WORKING) -> Iterator[tuple[BoardSource, Ledger]]:
    opened = threading.Event()

    def open_lines(moved: Callable[[], None]) -> GpiozeroLines:
        lines = person.open_lines(BOARD, moved)
        person.contact(TAMPER, closed=True)
        opened.set()
        return lines

    source = BoardSource(open_lines, condition=lambda: condition, clock=SystemClock())
    ledger, stop = Ledger(), threading.Event()
    thread = threading.Thread(target=source.run, args=(ledger, stop))
    thread.start()
    try:
        assert opened.wait(10)
        yield source, ledger
    finally:
        stop.set()
        thread.join(2)
        assert not thread.is_alive()


def changes(person: Hands, count: int) -> None:
    """Wait until the lamp has changed `count` times."""
    level = person.lamp_level()
    for _ in range(count):
        level = not level
        until(partial(_lamp_is, person, level=level), "the lamp to change", seconds=6)


def _lamp_is(person: Hands, *, level: bool) -> bool:
    return person.lamp_level() == level


def test_a_short_press_is_an_event(person: Hands) -> None:
    with running(person) as (_, ledger):
        until(person.lamp_level, "the lamp", seconds=5)
        person.contact(BUTTON, closed=True)
        threading.Event().wait(0.3)  # a person's finger
        person.contact(BUTTON, closed=False)
        until(lambda: bool(ledger.events), "the press", seconds=5)
        assert ledger.events == [("button", ButtonPressed(press="short"))]


def test_a_long_press_is_told_before_it_ends(person: Hands) -> None:
    with running(person) as (_, ledger):
        until(person.lamp_level, "the lamp", seconds=5)
        person.contact(BUTTON, closed=True)
        until(lambda: bool(ledger.events), "the press", seconds=LONG_PRESS_SECONDS + 5)
        assert ledger.events == [("button", ButtonPressed(press="long"))]
        person.contact(BUTTON, closed=False)


def test_opening_and_closing_the_box_are_events(person: Hands) -> None:
    with running(person) as (_, ledger):
        until(person.lamp_level, "the lamp", seconds=5)
        for opened in (True, False):
            ledger.events.clear()
            person.contact(TAMPER, closed=not opened)
            until(lambda: bool(ledger.events), "the event", seconds=5)
            assert ledger.events == [("tamper", Tamper(opened=opened))]


def test_a_working_node_shows_that_its_program_lives(person: Hands) -> None:
    with running(person):
        changes(person, 3)


def test_identify_blinks_fast(person: Hands) -> None:
    with running(person) as (source, _):
        until(person.lamp_level, "the lamp", seconds=5)
        source.identify(30)
        started = SystemClock().mono()
        changes(person, 10)
        assert SystemClock().mono() - started < 6, "ten changes of `working` take 15 s"


def test_nobody_is_told_that_a_dead_lamp_blinks(person: Hands) -> None:
    def in_use(_moved: Callable[[], None]) -> GpiozeroLines:
        raise BoardError("line 17 is in use")

    dead = BoardSource(in_use, condition=lambda: WORKING, clock=SystemClock())
    with pytest.raises(BoardError, match="in use"):
        dead.run(Ledger(), threading.Event())
    with pytest.raises(BoardError, match="not open"):
        dead.identify(30)
    with running(person) as (source, _):
        until(person.lamp_level, "the lamp", seconds=5)
        source.identify(30)
    with pytest.raises(BoardError, match="not open"):
        source.identify(30)


def test_the_lamp_is_dark_after_the_end(person: Hands) -> None:
    with running(person):
        until(person.lamp_level, "the lamp", seconds=5)
    assert not person.lamp_level()
