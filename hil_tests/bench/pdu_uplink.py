"""Cuts a real node's uplink: the switch between node and router hangs on a PDU."""

import attr
from labgrid import target_factory
from labgrid.driver import Driver
from labgrid.protocol import PowerProtocol

from hil_tests.bench.protocols import UplinkProtocol


@target_factory.reg_driver
@attr.s(eq=False)
class PduUplink(Driver, UplinkProtocol):
    """Switches the switch."""

    bindings = {"power": PowerProtocol}  # noqa: RUF012 - labgrid's way to say it

    @Driver.check_active
    def set_up(self, *, up: bool) -> None:
        """Cut or mend."""
        self.power.on() if up else self.power.off()
