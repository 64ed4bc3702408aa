"""Lines on gpiozero's devices, with a pin factory that is named, never the global one.

Wiring: the lamp between its pin and ground (or from 3.3 V with `lamp_active_low`), button and
tamper switch between their pins and ground, pulled up by the processor. The tamper switch is closed
while the box is closed, so that a cut wire reads as an open box.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from gpiozero import LED, DigitalInputDevice, GPIOZeroError
from gpiozero.pins import Factory
from gpiozero.pins.mock import MockFactory

from node.board.lines import Levels
from node.errors import BoardError
from node.settings import Board

_ATTEMPTS = 20
_PAUSE_SECONDS = 0.05
_LOG = logging.getLogger(__name__)


class GpiozeroLines:
    """Lines on `factory`; implements node.board.lines.Lines."""

    def __init__(
        self,
        board: Board,
        factory: Factory,
        moved: Callable[[], None],
        *,
        errors: tuple[type[Exception], ...] = (),
    ) -> None:
        """Claim the pins of `board`; `moved` is called from another thread. Raises BoardError.

        `errors` are what the factory's own library raises.
        """
        self._factory = factory
        self._errors = errors
        self._explained = partial(explained, errors=errors)
        self._lamp: LED | None = None
        self._button: DigitalInputDevice | None = None
        self._lid: DigitalInputDevice | None = None
        with ExitStack() as undo:
            # A line still held by this attempt would be busy for every later one.
            undo.callback(self.close)
            with self._explained("cannot be claimed; is another program using them?"):
                self._lamp = _lamp(board, factory)
                self._button = _contact(board.button_pin, factory, moved)
                self._lid = _contact(board.tamper_pin, factory, moved)
            undo.pop_all()

    def light(self, *, lit: bool) -> None:
        """Switch the lamp. Raises BoardError."""
        if self._lamp is None:
            return
        with self._explained("cannot be switched"):
            self._lamp.on() if lit else self._lamp.off()

    def read(self) -> Levels:
        """Read both contacts: a closed one is low. Raises BoardError."""
        with self._explained("cannot be read"):
            return Levels(
                pressed=self._button is not None and bool(self._button.is_active),
                opened=self._lid is not None and not self._lid.is_active,
            )

    def close(self) -> None:
        """Switch the lamp off and give the lines back."""
        for contact in (self._button, self._lid):
            if contact is not None:
                # gpiozero 2.0.1 forgets this at close; the next edge would then end lgpio's thread
                # and with it every edge of this process.
                self._until_free(partial(setattr, contact.pin, "when_changed", None))
                self._until_free(contact.close)
        if self._lamp is not None:
            self._until_free(self._lamp.close)
        self._until_free(self._factory.close)

    def _until_free(self, give_back: Callable[[], None]) -> None:
        """Call until lgpio has let go of a line that it watched, which takes it a moment."""
        for _ in range(_ATTEMPTS):
            try:
                give_back()
            except self._errors:
                time.sleep(_PAUSE_SECONDS)  # nothing tells when
            else:
                return
        _LOG.warning("a line was not given back; the kernel takes it when this program ends")


def open_mock(board: Board, moved: Callable[[], None]) -> GpiozeroLines:
    """Return lines that only this process knows, for demos and tests."""
    return GpiozeroLines(board, MockFactory(), moved)


def _lamp(board: Board, factory: Factory) -> LED | None:
    if board.lamp_pin is None:
        return None
    return LED(board.lamp_pin, active_high=not board.lamp_active_low, pin_factory=factory)


def _contact(
    pin: int | None, factory: Factory, moved: Callable[[], None]
) -> DigitalInputDevice | None:
    if pin is None:
        return None

    def told() -> None:  # gpiozero hands the device to whatever takes an argument
        moved()

    device = DigitalInputDevice(pin, pull_up=True, pin_factory=factory)
    device.when_activated = told
    device.when_deactivated = told
    return device


@contextmanager
def explained(what: str, errors: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Raise BoardError for what gpiozero, the kernel and `errors` say."""
    try:
        yield
    except (GPIOZeroError, OSError, *errors) as error:
        raise BoardError(f"board: lines {what}: {error}") from error
