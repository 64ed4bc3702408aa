"""The port of the hotspot's radio: who is connected, how well, and how full the channel is.

What is read here holds device addresses. It never leaves this room: source.py turns it into
messages, which hold pseudonyms.
"""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class StationReading:
    """One associated device; a field is None when the driver does not report it.

    `address` is its MAC address, 6 bytes, kept out of repr. Counters grow since it associated.
    """

    address: bytes = field(repr=False)
    signal_dbm: int | None = None
    signal_average_dbm: int | None = None
    tx_rate_mbps: float | None = None
    rx_rate_mbps: float | None = None
    tx_packets_count: int | None = None
    tx_retries_count: int | None = None
    tx_failed_count: int | None = None
    tx_bytes: int | None = None
    rx_bytes: int | None = None
    connected_seconds: int | None = None
    inactive_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelReading:
    """What the radio heard on one channel; `in_use` when it works there."""

    frequency_mhz: int
    in_use: bool = False
    noise_dbm: int | None = None
    active_seconds: float | None = None
    busy_seconds: float | None = None
    receive_seconds: float | None = None
    transmit_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The radio at one moment; `mode` is "ap" for an access point."""

    interface: str
    mode: str
    frequency_mhz: int | None = None
    stations: tuple[StationReading, ...] = ()
    channel: ChannelReading | None = None

    @property
    def up(self) -> bool:
        """Tell whether it is an access point with a channel."""
        return self.mode == "ap" and self.frequency_mhz is not None


class Radio(Protocol):
    """Something that can be asked for a Reading."""

    @property
    def simulated(self) -> bool:
        """Tell whether the stations are invented."""

    def read(self) -> Reading:
        """Ask once; takes at most two seconds. Raises RadioError."""
