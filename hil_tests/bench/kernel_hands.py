"""A person at the virtual box: the lines of the kernel's gpio-sim, pulled from below."""

import shlex
from pathlib import Path

import attr
from labgrid import target_factory
from labgrid.driver import Driver
from labgrid.protocol import CommandProtocol, FileTransferProtocol

from hil_tests.bench.kernel_modules import gpio_module
from hil_tests.bench.protocols import HandsProtocol, Look

_MODULE = "/run/gpio-simulator.ko"
_CONFIG = "/sys/kernel/config/gpio-sim/simpul"
_SET_UP_SECONDS = 180.0  # an emulated node on a busy machine
_LINES_COUNT = 54  # as on a Raspberry Pi 4
# gpiozero asks what Pi it runs on before it knows a pin by its number: a Pi 4, model B.
_WATCH = """
import time
end = time.monotonic() + {seconds}
with open("{line}/value") as value:
    while time.monotonic() < end:
        value.seek(0)
        print(time.monotonic(), value.read().strip())
        time.sleep(0.02)
"""
_SET_UP = f"""
set -e
lsmod | grep -q '^gpio_simulator' || insmod {_MODULE}
mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
mkdir -p {_CONFIG}/bank
echo {_LINES_COUNT} > {_CONFIG}/bank/num_lines
echo 1 > {_CONFIG}/live
cp /proc/cpuinfo /run/cpuinfo
echo 'Revision : c03111' >> /run/cpuinfo
mkdir -p /run/systemd/system/simpul-node.service.d
printf '[Service]\\nBindReadOnlyPaths=/run/cpuinfo:/proc/cpuinfo\\n' \\
    > /run/systemd/system/simpul-node.service.d/bench.conf
systemctl daemon-reload
"""


@target_factory.reg_driver
@attr.s(eq=False)
class KernelHands(Driver, HandsProtocol):
    """Sets the chip up when it is activated; a finger from above reads just the same."""

    bindings = {  # noqa: RUF012 - labgrid's way to say it
        "command": CommandProtocol,
        "files": FileTransferProtocol,
    }
    button_pin: int = attr.ib(default=27, validator=attr.validators.instance_of(int))
    tamper_pin: int = attr.ib(default=22, validator=attr.validators.instance_of(int))
    lamp_pin: int = attr.ib(default=17, validator=attr.validators.instance_of(int))

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self._lines = Path()

    def on_activate(self) -> None:
        """Bring the module, make the chip."""
        (release,) = self.command.run_check("uname -r")
        self.files.put(str(gpio_module(release)), _MODULE)
        self.command.run_check(_SET_UP, timeout=_SET_UP_SECONDS)
        (device,) = self.command.run_check(f"cat {_CONFIG}/dev_name")
        (chip,) = self.command.run_check(f"cat {_CONFIG}/bank/chip_name")
        self._lines = Path("/sys/devices/platform") / device.strip() / chip.strip()

    @Driver.check_active
    def node_chip(self) -> int:
        """Return the chip's number."""
        return int(self._lines.name.removeprefix("gpiochip"))

    @Driver.check_active
    def press(self, *, down: bool) -> None:
        """Close the button's contact to ground, or open it."""
        self._pull(self.button_pin, down=down)

    @Driver.check_active
    def open_box(self, *, opened: bool) -> None:
        """Open the tamper switch, or close it to ground."""
        self._pull(self.tamper_pin, down=not opened)

    @Driver.check_active
    def watch_lamp(self, seconds: float) -> list[Look]:
        """Read the lamp's line by a program on the node itself, fifty times a second."""
        program = _WATCH.format(line=self._line(self.lamp_pin), seconds=seconds)
        said = self.command.run_check(f"python3 -c {shlex.quote(program)}", timeout=seconds + 60)
        words = [line.split() for line in said]
        return [Look(float(mono), lit == "1") for mono, lit in words]

    def _pull(self, pin: int, *, down: bool) -> None:
        pull = "pull-down" if down else "pull-up"
        self.command.run_check(f"echo {pull} > {self._line(pin)}/pull")

    def _line(self, pin: int) -> Path:
        return self._lines / f"sim_gpio{pin}"
