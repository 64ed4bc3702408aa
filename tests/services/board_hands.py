"""What moves a board's contacts and sees its lamp from outside, on each kind of lines."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Protocol

import msgspec
from gpiozero import DigitalInputDevice
from gpiozero.pins.mock import MockFactory
from services.gpio_sim import GpioSim

from node.board.gpiozero_lines import GpiozeroLines
from node.settings import Board

LAMP, BUTTON, TAMPER = 17, 27, 22


class Hands(Protocol):
    """A person at the box."""

    def open_lines(self, board: Board, moved: Callable[[], None]) -> GpiozeroLines: ...
    def contact(self, pin: int, *, closed: bool) -> None: ...
    def lamp_level(self) -> bool: ...
    def another_program(self, pin: int) -> AbstractContextManager[object]:
        """Hold a line inside the `with`."""


class MockHands:
    """On gpiozero's own mock."""

    def __init__(self) -> None:
        self._factory = MockFactory()

    def open_lines(self, board: Board, moved: Callable[[], None]) -> GpiozeroLines:
        return GpiozeroLines(board, self._factory, moved)

    def contact(self, pin: int, *, closed: bool) -> None:
        mock = self._factory.pin(pin)
        if mock.function == "input":
            mock.drive_low() if closed else mock.drive_high()

    def lamp_level(self) -> bool:
        return bool(self._factory.pin(LAMP).state)

    def another_program(self, pin: int) -> AbstractContextManager[object]:
        return closing(DigitalInputDevice(pin, pull_up=True, pin_factory=self._factory))


class SimHands:
    """On the kernel's simulated chip."""

    def __init__(self, sim: GpioSim) -> None:
        self._sim = sim

    def open_lines(self, board: Board, moved: Callable[[], None]) -> GpiozeroLines:
        from node.board.lgpio_lines import open_lgpio  # noqa: PLC0415 - in the guest only

        return open_lgpio(msgspec.structs.replace(board, chip=self._sim.chip), moved)

    def contact(self, pin: int, *, closed: bool) -> None:
        self._sim.drive(pin, high=not closed)

    def lamp_level(self) -> bool:
        return self._sim.is_high(LAMP)

    @contextmanager
    def another_program(self, pin: int) -> Iterator[object]:
        import lgpio  # noqa: PLC0415 - in the guest only

        handle = lgpio.gpiochip_open(self._sim.chip)
        lgpio.gpio_claim_input(handle, pin)
        try:
            yield handle
        finally:
            lgpio.gpiochip_close(handle)


@contextmanager
def hands(kind: str) -> Iterator[Hands]:
    """Give the hands for "mock" or "gpio-sim"."""
    if kind == "mock":
        yield MockHands()
        return
    with GpioSim() as sim:
        yield SimHands(sim)
