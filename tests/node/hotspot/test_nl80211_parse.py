"""Reads recorded replies of a real kernel and holds the figures against what `iw` said then."""

import re
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from node.errors import RadioError
from node.hotspot import netlink
from node.hotspot.nl80211_parse import Interface, parse_interfaces, parse_stations, parse_survey
from node.hotspot.radio import StationReading

FIXTURES = Path(__file__).parent / "fixtures"
MOVED_SECONDS = 0.15  # between the text and the bytes
PARSERS: tuple[Callable[[bytes], object], ...] = (parse_interfaces, parse_stations, parse_survey)
RECORDED = ("interface", "station_four", "survey", "wiphy")


def raw(name: str) -> bytes:
    return (FIXTURES / f"{name}.bin").read_bytes()


def blocks(name: str, head: str) -> list[str]:
    return re.split(rf"^\s*{head}", (FIXTURES / f"{name}.txt").read_text(), flags=re.MULTILINE)[1:]


def figure(block: str, key: str) -> float:
    match = re.search(rf"^\s*{re.escape(key)}:\s*(-?[0-9.]+)", block, flags=re.MULTILINE)
    assert match, key
    return float(match[1])


def test_every_station_is_as_iw_told_it() -> None:
    stations, told = parse_stations(raw("station_four")), blocks("station_four", "Station ")
    assert len(stations) == len(told) == 4
    for station, block in zip(stations, told, strict=True):
        assert station.address.hex(":") == block.split()[0]
        assert station.signal_dbm == figure(block, "signal")
        assert station.signal_average_dbm == figure(block, "signal avg")
        assert station.tx_rate_mbps == figure(block, "tx bitrate")
        assert station.rx_rate_mbps == figure(block, "rx bitrate")
        assert station.tx_packets_count == figure(block, "tx packets")
        assert station.tx_retries_count == figure(block, "tx retries")
        assert station.tx_failed_count == figure(block, "tx failed")
        assert station.tx_bytes == figure(block, "tx bytes")
        assert station.rx_bytes == figure(block, "rx bytes")
        assert station.connected_seconds == figure(block, "connected time")
        inactive_seconds = figure(block, "inactive time") / 1000
        assert station.inactive_seconds == pytest.approx(inactive_seconds, abs=MOVED_SECONDS)


def test_every_channel_is_as_iw_told_it() -> None:
    channels, told = parse_survey(raw("survey")), blocks("survey", "Survey data from wlan0")
    assert len(channels) == len(told) == 25
    for channel, block in zip(channels, told, strict=True):
        assert channel.frequency_mhz == figure(block, "frequency")
        assert channel.noise_dbm == figure(block, "noise")
        assert channel.active_seconds == figure(block, "channel active time") / 1000
        assert channel.busy_seconds == figure(block, "channel busy time") / 1000
        assert (channel.in_use, channel.receive_seconds, channel.transmit_seconds) == (
            False,
            None,
            None,
        )


def test_every_interface_is_as_iw_told_it() -> None:
    assert parse_interfaces(raw("interface")) == (
        Interface(index=8, name="uplink0", mode="managed", frequency_mhz=None),
        Interface(index=2, name="wlan0", mode="ap", frequency_mhz=2437),
    )


def test_nobody_there_is_an_empty_list_and_a_refusal_is_not() -> None:
    assert parse_stations(raw("station_none")) == ()
    assert parse_survey(raw("survey_none")) == ()
    with pytest.raises(netlink.RefusedError):
        parse_stations(raw("station_no_such_interface"))


def dump(*attributes: bytes) -> bytes:
    content = struct.pack("=BBH", 19, 1, 0) + b"".join(attributes)
    head = netlink.HEADER.pack(16 + len(content), 32, 2, 1, 0)
    return head + content + netlink.HEADER.pack(20, 3, 2, 1, 0) + bytes(4)


ADDRESS = netlink.attribute(6, bytes.fromhex("02a1b2c3d4e5"))


def nested(kind: int, *attributes: bytes) -> bytes:
    return netlink.attribute(kind | 0x8000, b"".join(attributes))


def test_a_driver_may_tell_of_a_station_no_more_than_that_it_is_there() -> None:
    (station,) = parse_stations(dump(ADDRESS, nested(21)))
    assert station == StationReading(address=bytes.fromhex("02a1b2c3d4e5"))


def test_old_and_narrow_figures_are_taken_where_there_are_no_others() -> None:
    narrow_rate = nested(8, netlink.attribute(1, struct.pack("=H", 540)))
    info = nested(21, netlink.attribute(3, struct.pack("=I", 2**32 - 1)), narrow_rate)
    (station,) = parse_stations(dump(ADDRESS, info))
    assert (station.tx_bytes, station.rx_bytes) == (2**32 - 1, None)
    assert (station.tx_rate_mbps, station.rx_rate_mbps) == (54.0, None)


def test_wide_figures_win_over_narrow_ones_even_when_zero() -> None:
    rate = nested(
        8,
        netlink.attribute(1, struct.pack("=H", 540)),
        netlink.attribute(5, struct.pack("=I", 12_009)),
    )
    counters = (
        netlink.attribute(3, struct.pack("=I", 7)) + netlink.attribute(24, struct.pack("=Q", 0)),
        netlink.attribute(2, struct.pack("=I", 7))
        + netlink.attribute(23, struct.pack("=Q", 2**33)),
    )
    (station,) = parse_stations(dump(ADDRESS, nested(21, rate, *counters)))
    assert (station.tx_rate_mbps, station.tx_bytes, station.rx_bytes) == (1200.9, 0, 2**33)


@pytest.mark.parametrize(("byte", "dbm"), [(0xA4, -92), (0x80, -128), (0xFF, -1), (0, 0), (9, 9)])
def test_noise_is_a_signed_byte(byte: int, dbm: int) -> None:
    frequency = netlink.attribute(1, struct.pack("=I", 2437))
    survey = nested(84, frequency, netlink.attribute(2, bytes([byte])), netlink.attribute(3, b""))
    (channel,) = parse_survey(dump(survey))
    assert (channel.noise_dbm, channel.in_use) == (dbm, True)


def test_a_device_without_a_network_interface_is_left_out() -> None:
    assert parse_interfaces(dump(netlink.attribute(5, struct.pack("=I", 10)))) == ()


@pytest.mark.parametrize(
    ("parse", "attributes"),
    [
        (parse_stations, (nested(21),)),
        (parse_stations, (ADDRESS,)),
        (parse_survey, (ADDRESS,)),
        (parse_interfaces, (netlink.attribute(4, b"wlan0\0"),)),
        (parse_interfaces, (netlink.attribute(4, b"\xff\xfe\0"),)),
    ],
)
def test_what_the_kernel_always_tells_must_be_there(
    parse: Callable[[bytes], object], attributes: tuple[bytes, ...]
) -> None:
    with pytest.raises(RadioError):
        parse(dump(*attributes))


def test_a_message_cut_off_after_its_header_is_garbled() -> None:
    head = netlink.HEADER.pack(16, 32, 2, 1, 0)
    done = netlink.HEADER.pack(20, 3, 2, 1, 0) + bytes(4)
    with pytest.raises(RadioError, match="cannot be decoded"):
        parse_stations(head + done)


def test_a_figure_without_its_bytes_is_garbled() -> None:
    with pytest.raises(RadioError, match="SIGNAL is not a number"):
        parse_stations(dump(ADDRESS, nested(21, netlink.attribute(7, b""))))


def only_the_stated_error(data: bytes) -> None:
    for parse in PARSERS:
        with suppress(RadioError):
            parse(data)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_nothing_but_the_stated_error(data: bytes) -> None:
    only_the_stated_error(data)


@given(st.binary(max_size=300))
def test_arbitrary_attributes_raise_nothing_but_the_stated_error(data: bytes) -> None:
    only_the_stated_error(dump(data))
    only_the_stated_error(dump(ADDRESS, nested(21, data)))
    only_the_stated_error(dump(nested(84, data)))


@given(name=st.sampled_from(RECORDED), cut=st.floats(0, 1))
def test_truncated_replies_raise_nothing_but_the_stated_error(name: str, cut: float) -> None:
    whole = raw(name)
    only_the_stated_error(whole[: int(len(whole) * cut)])


@given(
    name=st.sampled_from(RECORDED[:3]),
    flips=st.lists(st.tuples(st.integers(0, 4771), st.integers(1, 255)), min_size=1, max_size=8),
)
@example(name="station_four", flips=[(20, 0xFF)])
def test_flipped_bits_raise_nothing_but_the_stated_error(
    name: str, flips: list[tuple[int, int]]
) -> None:
    data = bytearray(raw(name))
    for at, bits in flips:
        data[at % len(data)] ^= bits
    only_the_stated_error(bytes(data))
