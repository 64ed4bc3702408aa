"""Picks the lines that the settings name, and tells before the start what is wrong with them."""

from collections.abc import Iterator, Mapping
from functools import partial
from importlib.util import find_spec

import msgspec

from node.board.source import OpenLines
from node.errors import SettingsError
from node.settings import Board

_PINS = ("lamp_pin", "button_pin", "tamper_pin")


def lines_of(board: Board) -> OpenLines:
    """Return what opens the lines. Raises SettingsError when a package is missing."""
    check_board(board)
    if board.adapter == "simulated":
        from node.board.gpiozero_lines import open_mock  # noqa: PLC0415 - an adapter, chosen here

        return partial(open_mock, board)
    from node.board.lgpio_lines import open_lgpio  # noqa: PLC0415 - as above

    return partial(open_lgpio, board)


def parse_board(values: Mapping[str, object]) -> Board:
    """Return [board] from keys and values, checked as in a file. Raises SettingsError."""
    try:
        return msgspec.convert(dict(values), Board)
    except msgspec.ValidationError as error:
        raise SettingsError(f"board: {error}") from error


def check_board(board: Board) -> None:
    """Return when the adapter's packages are here; no line is touched. Raises SettingsError."""
    for package in ("gpiozero", "lgpio") if board.adapter == "gpiozero" else ("gpiozero",):
        if find_spec(package) is None:
            raise SettingsError(
                f"board.adapter: {board.adapter} needs the package {package}; "
                "install simpul with its extra `board`, or apt install python3-lgpio"
            )


def board_contradictions(board: Board) -> Iterator[str]:
    """Say which keys of [board] contradict each other."""
    pins = {key: getattr(board, key) for key in _PINS}
    used = {key: pin for key, pin in pins.items() if pin is not None}
    seen: dict[int, str] = {}
    for key, pin in used.items():
        if pin in seen:
            yield f"board.{key}: GPIO{pin} is {seen[pin]} already; wire it to another pin"
        seen.setdefault(pin, key)
    if board.adapter == "none" and used:
        key = next(iter(used))
        yield f"board.{key}: never used, as board.adapter is none; write gpiozero"
    if board.adapter != "none" and not used:
        yield f"board.adapter: {board.adapter} has nothing to do; give {', '.join(_PINS)} or none"
