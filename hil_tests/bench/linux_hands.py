"""A person at a real box: wires from a second board's GPIO to the node's contacts and lamp."""

import attr
from labgrid import target_factory
from labgrid.driver import Driver
from labgrid.protocol import CommandProtocol

from hil_tests.bench.protocols import HandsProtocol, Look


@target_factory.reg_driver
@attr.s(eq=False)
class HelperHands(Driver, HandsProtocol):
    """Drives the helper's lines with libgpiod's own commands (gpioset(1), gpioget(1)).

    Button and tamper lines close to ground through a transistor, lit by a high line.
    """

    bindings = {"command": CommandProtocol}  # noqa: RUF012 - labgrid's way to say it
    chip: int = attr.ib(validator=attr.validators.instance_of(int))
    button_line: int = attr.ib(validator=attr.validators.instance_of(int))
    tamper_line: int = attr.ib(validator=attr.validators.instance_of(int))
    lamp_line: int = attr.ib(validator=attr.validators.instance_of(int))

    node_gpio_chip: int = attr.ib(default=0, validator=attr.validators.instance_of(int))

    def node_chip(self) -> int:
        """Return what the node's own chip is called."""
        return self.node_gpio_chip

    @Driver.check_active
    def press(self, *, down: bool) -> None:
        """Close the button's contact, or open it."""
        self._drive("button", self.button_line, high=down)

    @Driver.check_active
    def open_box(self, *, opened: bool) -> None:
        """Open the tamper switch, or close it."""
        self._drive("tamper", self.tamper_line, high=not opened)

    @Driver.check_active
    def watch_lamp(self, seconds: float) -> list[Look]:
        """Read the line that hangs on the lamp, as often as gpioget(1) can."""
        ask = f"gpioget --numeric -c gpiochip{self.chip} {self.lamp_line}"
        said = self.command.run_check(
            f"end=$(($(date +%s) + {round(seconds)})); while [ $(date +%s) -lt $end ]; "
            f"do echo $(cut -d' ' -f1 /proc/uptime) $({ask}); done",
            timeout=seconds + 60,
        )
        words = [line.split() for line in said]
        return [Look(float(mono), lit == "1") for mono, lit in words]

    def _drive(self, name: str, line: int, *, high: bool) -> None:
        # A line is let go when gpioset ends: a transient unit holds it until the next change.
        unit = f"simpul-hand-{name}"
        hold = f"gpioset -c gpiochip{self.chip} {line}={int(high)}"
        self.command.run_check(
            f"systemctl stop {unit} 2>/dev/null; systemd-run --collect --unit={unit} {hold}"
        )
