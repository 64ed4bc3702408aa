"""Reads what nl80211 says of interfaces, stations and channels.

Attributes: <linux/nl80211.h>, decoded by pyroute2's table of them. Every function raises
RadioError on bytes that are not what the kernel documents, and nothing else.
"""

import struct
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from node.errors import RadioError
from node.hotspot import netlink
from node.hotspot.nl80211_message import load
from node.hotspot.radio import ChannelReading, StationReading

_MESSAGE, _DECODE_ERROR = load()
_MODES = MappingProxyType(
    {1: "adhoc", 2: "managed", 3: "ap", 4: "ap-vlan", 6: "monitor", 7: "mesh", 8: "p2p-client"}
)  # enum nl80211_iftype
_ADDRESS_DIGITS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A wireless interface; `index` is its number in the kernel."""

    index: int
    name: str
    mode: str
    frequency_mhz: int | None


def parse_interfaces(raw: bytes) -> tuple[Interface, ...]:
    """Read a dump of NL80211_CMD_GET_INTERFACE; devices without a network interface are left out.

    Raises RadioError.
    """
    found = []
    for content in netlink.contents(raw):
        message = _decode(content)
        name = message.get_attr("NL80211_ATTR_IFNAME")
        if name is None:
            continue
        index, mode = (_whole(message, f"NL80211_ATTR_{what}") for what in ("IFINDEX", "IFTYPE"))
        if not isinstance(name, str) or index is None or mode is None:
            raise RadioError("the kernel told an interface without name, number or type")
        found.append(
            Interface(
                index=index,
                name=name,
                mode=_MODES.get(mode, "other"),
                frequency_mhz=_whole(message, "NL80211_ATTR_WIPHY_FREQ"),
            )
        )
    return tuple(found)


def parse_stations(raw: bytes) -> tuple[StationReading, ...]:
    """Read a dump of NL80211_CMD_GET_STATION. Raises RadioError."""
    return tuple(_station(_decode(content)) for content in netlink.contents(raw))


def parse_survey(raw: bytes) -> tuple[ChannelReading, ...]:
    """Read a dump of NL80211_CMD_GET_SURVEY. Raises RadioError."""
    channels = []
    for content in netlink.contents(raw):
        info = _nested(_decode(content), "NL80211_ATTR_SURVEY_INFO")
        frequency_mhz = _whole(info, "NL80211_SURVEY_INFO_FREQUENCY")
        if frequency_mhz is None:
            continue  # the survey of a whole radio, not of a channel
        channels.append(
            ChannelReading(
                frequency_mhz=frequency_mhz,
                in_use=info.get_attr("NL80211_SURVEY_INFO_IN_USE") is not None,
                noise_dbm=_signed(_whole(info, "NL80211_SURVEY_INFO_NOISE")),
                active_seconds=_seconds(_whole(info, "NL80211_SURVEY_INFO_TIME")),
                busy_seconds=_seconds(_whole(info, "NL80211_SURVEY_INFO_TIME_BUSY")),
                receive_seconds=_seconds(_whole(info, "NL80211_SURVEY_INFO_TIME_RX")),
                transmit_seconds=_seconds(_whole(info, "NL80211_SURVEY_INFO_TIME_TX")),
            )
        )
    return tuple(channels)


def _station(message: Any) -> StationReading:  # noqa: ANN401 - pyroute2 has no types
    info = _nested(message, "NL80211_ATTR_STA_INFO")

    def told(name: str) -> int | None:
        return _whole(info, f"NL80211_STA_INFO_{name}")

    # The 32-bit byte counters wrap at 4 GiB; old drivers have only them.
    tx_bytes, rx_bytes = told("TX_BYTES64"), told("RX_BYTES64")
    return StationReading(
        address=_address(message),
        signal_dbm=told("SIGNAL"),
        signal_average_dbm=told("SIGNAL_AVG"),
        tx_rate_mbps=_rate_mbps(info, "NL80211_STA_INFO_TX_BITRATE"),
        rx_rate_mbps=_rate_mbps(info, "NL80211_STA_INFO_RX_BITRATE"),
        tx_packets_count=told("TX_PACKETS"),
        tx_retries_count=told("TX_RETRIES"),
        tx_failed_count=told("TX_FAILED"),
        tx_bytes=told("TX_BYTES") if tx_bytes is None else tx_bytes,
        rx_bytes=told("RX_BYTES") if rx_bytes is None else rx_bytes,
        connected_seconds=told("CONNECTED_TIME"),
        inactive_seconds=_seconds(told("INACTIVE_TIME")),
    )


def _decode(content: bytes) -> Any:  # noqa: ANN401 - pyroute2 has no types
    message = _MESSAGE(content)
    try:
        message.decode()
    except (_DECODE_ERROR, struct.error) as error:
        # Not the error's own text: nobody promises that it quotes no bytes.
        raise RadioError("an nl80211 message cannot be decoded") from error
    return message


def _nested(message: Any, name: str) -> Any:  # noqa: ANN401 - pyroute2 has no types
    value = message.get_attr(name)
    if not hasattr(value, "get_attr"):
        raise RadioError(f"the kernel's reply lacks a readable {name}")
    return value


def _whole(message: Any, name: str) -> int | None:  # noqa: ANN401 - pyroute2 has no types
    value = message.get_attr(name)
    if value is None or isinstance(value, int):
        return value
    raise RadioError(f"{name} is not a number")  # pyroute2 hands out raw bytes when it cannot


def _address(message: Any) -> bytes:  # noqa: ANN401 - pyroute2 has no types
    value = message.get_attr("NL80211_ATTR_MAC")
    digits = value.replace(":", "") if isinstance(value, str) else ""
    if len(digits) != _ADDRESS_DIGITS:
        raise RadioError("the kernel told a station without an address")
    return bytes.fromhex(digits)


def _rate_mbps(info: Any, name: str) -> float | None:  # noqa: ANN401 - pyroute2 has no types
    if info.get_attr(name) is None:
        return None
    rate = _nested(info, name)
    # In 100 kbit/s; the 16-bit form is absent when the rate does not fit.
    wide = _whole(rate, "NL80211_RATE_INFO_BITRATE32")
    value = _whole(rate, "NL80211_RATE_INFO_BITRATE") if wide is None else wide
    return None if value is None else value / 10


def _signed(value: int | None) -> int | None:
    # The kernel means dBm in a signed byte; pyroute2's table calls it unsigned.
    return None if value is None else (value & 0xFF ^ 0x80) - 0x80


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
