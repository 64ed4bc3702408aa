"""What the settings of the board may say together, and how a mistake is told."""

from importlib.util import find_spec

import pytest

from node.board.adapters import board_contradictions, lines_of, parse_board
from node.errors import BoardError, SettingsError
from node.settings import Board
from node.settings_file import parse_settings

REST = '[node]\nname = "a"\n[uplink]\nbrokers = ["mqtts://b:8883"]\n[board]\n'


@pytest.mark.parametrize(
    ("board", "words"),
    [
        (Board(adapter="gpiozero", lamp_pin=17, tamper_pin=17), "GPIO17 is lamp_pin already"),
        (Board(lamp_pin=17), "board.lamp_pin: never used"),
        (Board(adapter="gpiozero"), "has nothing to do"),
    ],
)
def test_a_contradiction_is_told(board: Board, words: str) -> None:
    (problem,) = board_contradictions(board)
    assert words in problem


def test_every_line_is_optional() -> None:
    assert not list(board_contradictions(Board()))
    for key in ("lamp_pin", "button_pin", "tamper_pin"):
        assert not list(board_contradictions(parse_board({"adapter": "gpiozero", key: 4})))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("lamp_pin = 1", "node.toml:6: board.lamp_pin: must be at least 2"),
        ("lamp_pin = 28", "node.toml:6: board.lamp_pin: must be at most 27"),
        ('lamp_pin = "GPIO17"', "board.lamp_pin: must be a whole number, not text in quotes"),
        ("lamp = 17", "is lamp_pin meant?"),
    ],
)
def test_a_mistake_names_its_line(line: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings(REST + line)
    assert words in str(caught.value)


def test_a_bad_pin_of_the_lamp_command_is_told() -> None:
    with pytest.raises(SettingsError, match=r"board: .*lamp_pin"):
        parse_board({"adapter": "gpiozero", "lamp_pin": 99})


@pytest.mark.skipif(find_spec("lgpio") is None, reason="lgpio has no wheel for this Python")
def test_a_chip_that_is_not_there_is_told() -> None:
    with pytest.raises(BoardError, match=r"/dev/gpiochip200 cannot be opened; see chip"):
        lines_of(Board(adapter="gpiozero", chip=200, lamp_pin=17))(lambda: None)
