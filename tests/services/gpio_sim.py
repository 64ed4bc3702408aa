"""Sets up a simulated GPIO chip of the running kernel (gpio-sim) and is the hand on its lines.

Kernel documentation: admin-guide/gpio/gpio-sim.rst. Needs the module, configfs and root.
"""

from pathlib import Path
from types import TracebackType
from typing import Self

CONFIG = Path("/sys/kernel/config/gpio-sim")
LINES_COUNT = 54  # as on a Raspberry Pi 4


class GpioSim:
    """A chip that exists inside the `with`."""

    def __init__(self) -> None:
        self._config = CONFIG / "simpul"
        self._lines = Path()
        self.chip = -1

    def __enter__(self) -> Self:
        bank = self._config / "bank"
        bank.mkdir(parents=True)
        (bank / "num_lines").write_text(str(LINES_COUNT))
        (self._config / "live").write_text("1")
        device = (self._config / "dev_name").read_text().strip()
        name = (bank / "chip_name").read_text().strip()
        self.chip = int(name.removeprefix("gpiochip"))
        self._lines = Path("/sys/devices/platform") / device / name
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        (self._config / "live").write_text("0")
        (self._config / "bank").rmdir()
        self._config.rmdir()

    def drive(self, pin: int, *, high: bool) -> None:
        """Pull an input up or down from outside."""
        (self._lines / f"sim_gpio{pin}/pull").write_text("pull-up" if high else "pull-down")

    def is_high(self, pin: int) -> bool:
        """Read the level of a line from outside."""
        return (self._lines / f"sim_gpio{pin}/value").read_text().strip() == "1"
