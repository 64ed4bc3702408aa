"""What every kind of lines keeps to: gpiozero's mock, and lgpio on the kernel's gpio-sim.

The latter runs in the guest (test_board_in_guest.py).
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing

import msgspec
import pytest
from services.board_hands import BUTTON, LAMP, TAMPER, Hands, hands
from services.gpio_sim import CONFIG
from services.waiting import until

from node.board.lines import Levels
from node.errors import BoardError
from node.settings import Board

BOARD = Board(adapter="gpiozero", lamp_pin=LAMP, button_pin=BUTTON, tamper_pin=TAMPER)
NOT_HERE = pytest.mark.skipif(not CONFIG.exists(), reason="gpio-sim is loaded in the guest only")


@pytest.fixture(params=["mock", pytest.param("gpio-sim", marks=NOT_HERE)])
def person(request: pytest.FixtureRequest) -> Iterator[Hands]:
    with hands(request.param) as somebody:
        yield somebody


def nobody() -> None:
    """Take no notice."""


def test_the_lamp_follows(person: Hands) -> None:
    with closing(person.open_lines(BOARD, nobody)) as lines:
        assert not person.lamp_level()
        lines.light(lit=True)
        assert person.lamp_level()
        lines.light(lit=False)
        assert not person.lamp_level()


def test_a_lamp_wired_to_the_supply_is_lit_by_a_low_level(person: Hands) -> None:
    board = msgspec.structs.replace(BOARD, lamp_active_low=True)
    with closing(person.open_lines(board, nobody)) as lines:
        assert person.lamp_level()
        lines.light(lit=True)
        assert not person.lamp_level()


def test_contacts_are_read(person: Hands) -> None:
    with closing(person.open_lines(BOARD, nobody)) as lines:
        assert lines.read() == Levels(pressed=False, opened=True)  # open contacts are pulled up
        person.contact(TAMPER, closed=True)
        assert lines.read() == Levels(pressed=False, opened=False)
        person.contact(BUTTON, closed=True)
        assert lines.read() == Levels(pressed=True, opened=False)
        person.contact(BUTTON, closed=False)
        assert lines.read() == Levels(pressed=False, opened=False)


@pytest.mark.parametrize("pin", [BUTTON, TAMPER])
def test_a_move_is_told(person: Hands, pin: int) -> None:
    moved = threading.Semaphore(0)
    with closing(person.open_lines(BOARD, moved.release)):
        for closed in (True, False, True):
            person.contact(pin, closed=closed)
            assert moved.acquire(timeout=10)


def test_lines_can_be_opened_again(person: Hands) -> None:
    for _ in range(3):
        with closing(person.open_lines(BOARD, nobody)) as lines:
            lines.light(lit=True)
            until(person.lamp_level, "the lamp", seconds=5)


def test_a_line_that_was_busy_is_claimed_once_it_is_free(person: Hands) -> None:
    for pin in (TAMPER, BUTTON, LAMP):
        with person.another_program(pin), pytest.raises(BoardError, match="another program"):
            person.open_lines(BOARD, nobody)
        with closing(person.open_lines(BOARD, nobody)) as lines:
            lines.light(lit=True)
            until(person.lamp_level, "the lamp", seconds=5)


@NOT_HERE
def test_a_line_that_is_busy_for_a_moment_is_waited_for() -> None:
    with hands("gpio-sim") as person:
        for pin in (TAMPER, BUTTON, LAMP):
            other = ExitStack()
            other.enter_context(person.another_program(pin))
            threading.Timer(0.2, other.close).start()
            with closing(person.open_lines(BOARD, nobody)) as lines:
                assert lines.read() == Levels(pressed=False, opened=True)


def test_what_is_not_wired_says_nothing(person: Hands) -> None:
    with closing(person.open_lines(Board(adapter="gpiozero"), nobody)) as lines:
        lines.light(lit=True)
        assert lines.read() == Levels(pressed=False, opened=False)
