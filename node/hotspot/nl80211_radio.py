"""The real radio: asks the Linux kernel's nl80211 about the access point."""

import errno
from dataclasses import replace

from node.errors import RadioError
from node.hotspot import netlink
from node.hotspot.nl80211_parse import (
    Interface,
    parse_interfaces,
    parse_stations,
    parse_survey,
)
from node.hotspot.nl80211_transport import (
    GET_INTERFACE,
    GET_STATION,
    GET_SURVEY,
    KernelTransport,
    Transport,
)
from node.hotspot.radio import ChannelReading, Reading

_DUMP_ATTEMPTS_MAX = 3
# Drivers that keep no survey, or cannot look just now; the stations are worth telling without it.
_NO_SURVEY = frozenset({errno.EOPNOTSUPP, errno.EBUSY})


class Nl80211Radio:
    """Reads one interface; implements node.hotspot.radio.Radio."""

    simulated = False

    def __init__(self, interface: str, *, transport: Transport | None = None) -> None:
        """Read `interface` through `transport`; by default the running kernel."""
        self._interface = interface
        self._transport = transport or KernelTransport()

    def read(self) -> Reading:
        """Ask the kernel; stations and channel only when the access point is up.

        Raises RadioError.
        """
        interface = self.find()
        reading = Reading(
            interface=interface.name, mode=interface.mode, frequency_mhz=interface.frequency_mhz
        )
        if not reading.up:
            return reading
        try:
            stations = parse_stations(self._dump(GET_STATION, interface.index))
            channel = self._channel(interface)
        except netlink.RefusedError as error:
            raise RadioError(
                f"{interface.name} does not tell its stations: {error}; "
                "see `dmesg` for its driver, and whether `iw dev` still lists it"
            ) from error
        return replace(reading, stations=stations, channel=channel)

    def find(self) -> Interface:
        """Return the interface. Raises RadioError when the kernel has no such one."""
        interfaces = parse_interfaces(self._dump(GET_INTERFACE))
        for interface in interfaces:
            if interface.name == self._interface:
                return interface
        others = ", ".join(sorted(interface.name for interface in interfaces)) or "none"
        raise RadioError(
            f"no wireless interface {self._interface} (there are: {others}); "
            "set interface in [hotspot] or plug the radio in"
        )

    def _channel(self, interface: Interface) -> ChannelReading | None:
        try:
            channels = parse_survey(self._dump(GET_SURVEY, interface.index))
        except netlink.RefusedError as error:
            if error.number not in _NO_SURVEY:
                raise
            return None
        return next(
            (channel for channel in channels if channel.in_use),
            next(
                (each for each in channels if each.frequency_mhz == interface.frequency_mhz), None
            ),
        )

    def _dump(self, command: int, index: int | None = None) -> bytes:
        for _ in range(_DUMP_ATTEMPTS_MAX):
            reply = self._transport.dump(command, index)
            if not netlink.interrupted(reply):
                return reply
        raise RadioError(f"{self._interface}: stations came and went while they were listed")
