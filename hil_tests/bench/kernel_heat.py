"""The heat of the virtual board's processor: a thermal zone of the kernel, with a given reading."""

import attr
from labgrid import target_factory
from labgrid.driver import Driver
from labgrid.protocol import CommandProtocol, FileTransferProtocol

from hil_tests.bench.kernel_modules import thermal_module
from hil_tests.bench.protocols import HeatProtocol

_MODULE = "/run/cpu-thermal.ko"
_PARAMETER = "/sys/module/cpu_thermal/parameters/millicelsius"


@target_factory.reg_driver
@attr.s(eq=False)
class KernelHeat(Driver, HeatProtocol):
    """Brings the zone when it is activated."""

    bindings = {  # noqa: RUF012 - labgrid's way to say it
        "command": CommandProtocol,
        "files": FileTransferProtocol,
    }

    def on_activate(self) -> None:
        """Load the module."""
        (release,) = self.command.run_check("uname -r")
        self.files.put(str(thermal_module(release)), _MODULE)
        self.command.run_check(f"lsmod | grep -q '^cpu_thermal' || insmod {_MODULE}", timeout=120)

    @Driver.check_active
    def heat(self, celsius: float) -> None:
        """Make the processor so hot."""
        self.command.run_check(f"echo {round(celsius * 1000)} > {_PARAMETER}")
