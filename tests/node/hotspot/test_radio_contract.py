"""What every radio keeps to: the simulated one, and nl80211 on recorded replies."""

from collections.abc import Callable
from pathlib import Path

import pytest

from node.clock import FakeClock
from node.errors import RadioError
from node.hotspot.nl80211_radio import Nl80211Radio
from node.hotspot.nl80211_transport import (
    GET_INTERFACE,
    GET_STATION,
    GET_SURVEY,
    ReplayTransport,
)
from node.hotspot.radio import Radio
from node.hotspot.simulated_radio import SimulatedRadio

FIXTURES = Path(__file__).parent / "fixtures"


def raw(name: str) -> bytes:
    return (FIXTURES / f"{name}.bin").read_bytes()


def replayed(stations: str = "station_four", survey: str = "survey") -> Nl80211Radio:
    replies = {
        GET_INTERFACE: raw("interface"),
        GET_STATION: raw(stations),
        GET_SURVEY: raw(survey),
    }
    return Nl80211Radio("wlan0", transport=ReplayTransport(replies))


def evening() -> SimulatedRadio:
    clock = FakeClock()
    clock.advance(12 * 3600)  # 19:00 in western Indonesia
    return SimulatedRadio("wlan0", seed="pasar-horas", clock=clock)


RADIOS: dict[str, Callable[[], Radio]] = {
    "simulated": evening,
    "nl80211": replayed,
    "nl80211, nobody there": lambda: replayed(stations="station_none"),
}


@pytest.fixture(params=RADIOS)
def radio(request: pytest.FixtureRequest) -> Radio:
    return RADIOS[request.param]()


def test_it_says_whether_it_is_simulated(radio: Radio) -> None:
    assert radio.simulated == isinstance(radio, SimulatedRadio)


def test_it_reads_the_interface_that_it_was_told(radio: Radio) -> None:
    reading = radio.read()
    assert (reading.interface, reading.mode, reading.up) == ("wlan0", "ap", True)


def test_it_may_be_read_again(radio: Radio) -> None:
    assert radio.read() == radio.read()


def test_every_station_stands_once_with_a_whole_address(radio: Radio) -> None:
    addresses = [station.address for station in radio.read().stations]
    assert len(set(addresses)) == len(addresses)
    for address in addresses:
        assert len(address) == 6
        assert not address[0] & 1, "a group address is no device"


def test_figures_are_in_their_units(radio: Radio) -> None:
    for station in radio.read().stations:
        assert -100 <= station.signal_dbm <= -20
        assert -100 <= station.signal_average_dbm <= -20
        assert 1 <= station.tx_rate_mbps <= 1000
        assert 1 <= station.rx_rate_mbps <= 1000
        assert 0 <= station.inactive_seconds <= 3600
        assert 0 <= station.connected_seconds <= 86_400
        assert station.tx_failed_count <= station.tx_packets_count <= station.tx_bytes


def test_the_channel_is_the_one_in_use(radio: Radio) -> None:
    reading = radio.read()
    assert reading.channel is not None
    assert reading.channel.frequency_mhz == reading.frequency_mhz == 2437
    assert -100 <= reading.channel.noise_dbm <= -80
    assert 0 <= reading.channel.busy_seconds <= reading.channel.active_seconds


class Script:
    """A transport that gives its replies in turn."""

    def __init__(self, *replies: bytes) -> None:
        self.replies = list(replies)

    def dump(self, command: int, index: int | None = None) -> bytes:
        assert (command == GET_INTERFACE) == (index is None)
        return self.replies.pop(0)


def refusal(number: int) -> bytes:
    done = bytearray(raw("station_no_such_interface"))
    done[16:20] = (-number).to_bytes(4, "little", signed=True)
    return bytes(done)


def test_an_interface_that_is_no_access_point_is_asked_for_nothing_more() -> None:
    reading = Nl80211Radio("uplink0", transport=Script(raw("interface"))).read()
    assert (reading.interface, reading.mode, reading.up) == ("uplink0", "managed", False)
    assert (reading.stations, reading.channel) == ((), None)


def test_a_missing_interface_is_an_error_that_names_the_others() -> None:
    with pytest.raises(RadioError, match=r"no wireless interface wlan7 .*uplink0, wlan0.*\[hots"):
        Nl80211Radio("wlan7", transport=Script(raw("interface"))).read()


def test_an_interface_that_vanishes_meanwhile_is_an_error() -> None:
    transport = Script(raw("interface"), raw("station_no_such_interface"))
    with pytest.raises(RadioError, match=r"wlan0 does not tell.*No such device.*dmesg"):
        Nl80211Radio("wlan0", transport=transport).read()


@pytest.mark.parametrize("number", [95, 16])
def test_a_driver_without_a_survey_still_tells_its_stations(number: int) -> None:
    transport = Script(raw("interface"), raw("station_four"), refusal(number))
    reading = Nl80211Radio("wlan0", transport=transport).read()
    assert len(reading.stations) == 4
    assert reading.channel is None


def test_another_refusal_of_the_survey_is_an_error() -> None:
    transport = Script(raw("interface"), raw("station_four"), refusal(19))
    with pytest.raises(RadioError, match="No such device"):
        Nl80211Radio("wlan0", transport=transport).read()


def test_an_empty_survey_is_no_channel() -> None:
    assert replayed(survey="survey_none").read().channel is None


def with_in_use(survey: bytes, *, at: int) -> bytes:
    """Return the survey with message `at` as the channel in use: its noise becomes the flag."""
    changed = bytearray(survey)
    step = len(survey[:-20]) // 25
    where = survey.index(b"\x05\x00\x02\x00\xa4\x00\x00\x00", at * step)
    changed[where : where + 8] = b"\x04\x00\x03\x00\x04\x00\x0c\x00"
    return bytes(changed)


def test_the_channel_that_the_driver_marks_wins_over_the_frequency() -> None:
    transport = Script(raw("interface"), raw("station_none"), with_in_use(raw("survey"), at=13))
    channel = Nl80211Radio("wlan0", transport=transport).read().channel
    assert channel is not None
    assert (channel.frequency_mhz, channel.in_use) == (5180, True)


def interrupted(reply: bytes) -> bytes:
    changed = bytearray(reply)
    changed[6] |= 0x10
    return bytes(changed)


def test_a_list_that_changed_while_it_was_told_is_asked_for_again() -> None:
    transport = Script(
        raw("interface"), interrupted(raw("station_none")), raw("station_four"), raw("survey")
    )
    assert len(Nl80211Radio("wlan0", transport=transport).read().stations) == 4
    assert not transport.replies


def test_a_list_that_never_holds_still_is_given_up() -> None:
    transport = Script(raw("interface"), *[interrupted(raw("station_none"))] * 3)
    with pytest.raises(RadioError, match="came and went"):
        Nl80211Radio("wlan0", transport=transport).read()
