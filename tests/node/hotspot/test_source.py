"""Holds the source to its port: readings become messages, at a beat, and failures come through."""

import logging
import threading

import pytest
from msgspec import Struct

from node.clock import FakeClock, SystemClock
from node.errors import RadioError, SettingsError
from node.hotspot.nl80211_radio import Nl80211Radio
from node.hotspot.radio import ChannelReading, Reading, StationReading
from node.hotspot.simulated_radio import SimulatedRadio
from node.hotspot.source import HotspotSource, check_hotspot, open_radio
from node.messages import Airtime, Station, Wifi
from node.settings import Hotspot, Identity, NodeSettings, Uplink

STATION = StationReading(
    address=bytes.fromhex("02a1b2c3d4e5"),
    signal_dbm=-60,
    signal_average_dbm=-61,
    tx_rate_mbps=65.0,
    rx_rate_mbps=58.5,
    tx_packets_count=4,
    tx_retries_count=3,
    tx_failed_count=2,
    tx_bytes=4000,
    rx_bytes=500,
    connected_seconds=60,
    inactive_seconds=0.25,
)
CHANNEL = ChannelReading(
    frequency_mhz=2437,
    in_use=True,
    noise_dbm=-92,
    active_seconds=100.0,
    busy_seconds=30.0,
    receive_seconds=10.0,
    transmit_seconds=15.0,
)
UP = Reading(interface="wlan0", mode="ap", frequency_mhz=2437, stations=(STATION,), channel=CHANNEL)


class Played:
    """A radio that gives one reading after the other; the last one again and again."""

    simulated = False

    def __init__(self, *readings: Reading | RadioError) -> None:
        self._readings = list(readings)

    def read(self) -> Reading:
        reading = self._readings.pop(0) if len(self._readings) > 1 else self._readings[0]
        if isinstance(reading, RadioError):
            raise reading
        return reading


class Ear:
    def __init__(self, *, wanted: int = 1) -> None:
        self.heard: list[tuple[str, Struct]] = []
        self.enough = threading.Event()
        self._wanted = wanted

    def measure(self, kind: str, data: Struct) -> None:
        self.heard.append((kind, data))
        if len(self.heard) >= self._wanted:
            self.enough.set()

    def event(self, name: str, data: Struct) -> None:
        raise AssertionError(name, data)

    def frame(self, jpeg: bytes, *, width: int, height: int, mono: float, simulated: bool) -> None:
        raise AssertionError(len(jpeg), width, height, mono, simulated)


def settings(adapter: str, interface: str = "wlan0") -> NodeSettings:
    return NodeSettings(
        node=Identity(name="pasar-horas"),
        uplink=Uplink(brokers=("mqtt://127.0.0.1:1883",)),
        hotspot=Hotspot(adapter=adapter, interface=interface),
    )


def source_of(*readings: Reading | RadioError) -> HotspotSource:
    return HotspotSource(Hotspot(), Played(*readings), clock=FakeClock())


def test_every_figure_of_a_reading_reaches_the_message() -> None:
    wifi = source_of(UP).measure()
    (station,) = wifi.stations
    assert wifi == Wifi(
        interface="wlan0",
        up=True,
        stations_count=1,
        stations=(
            Station(
                pseudonym=station.pseudonym,
                signal_dbm=-60,
                signal_average_dbm=-61,
                tx_rate_mbps=65.0,
                rx_rate_mbps=58.5,
                tx_packets_count=4,
                tx_retries_count=3,
                tx_failed_count=2,
                tx_bytes=4000,
                rx_bytes=500,
                connected_seconds=60,
                inactive_seconds=0.25,
            ),
        ),
        airtime=Airtime(
            frequency_mhz=2437,
            noise_dbm=-92,
            active_seconds=100.0,
            busy_seconds=30.0,
            receive_seconds=10.0,
            transmit_seconds=15.0,
        ),
    )


def test_a_device_keeps_its_pseudonym_from_one_measurement_to_the_next() -> None:
    source = source_of(UP)
    assert source.measure() == source.measure()


def test_simulated_stations_are_said_to_be() -> None:
    clock = FakeClock()
    radio = SimulatedRadio("wlan0", seed="pasar-horas", clock=clock)
    wifi = HotspotSource(Hotspot(), radio, clock=clock).measure()
    assert wifi.simulated
    assert wifi.stations_count == len(wifi.stations) > 0


@pytest.mark.parametrize(
    "down",
    [
        Reading(interface="wlan0", mode="managed", frequency_mhz=2437),
        Reading(interface="wlan0", mode="ap"),
    ],
)
def test_no_access_point_or_no_channel_is_not_up_and_is_logged_once(
    down: Reading, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    source = source_of(UP, down, down, UP)
    said = [source.measure() for _ in range(4)]
    assert [wifi.up for wifi in said] == [True, False, False, True]
    assert said[1] == Wifi(interface="wlan0", up=False)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "hostapd" in caplog.text


def test_a_run_measures_at_once_keeps_the_beat_and_stops_within_a_long_interval() -> None:
    for interval_seconds, wanted in ((3600.0, 1), (0.2, 3)):
        hotspot = Hotspot(measure_interval_seconds=interval_seconds)
        source = HotspotSource(hotspot, Played(UP), clock=SystemClock())
        ear, stop = Ear(wanted=wanted), threading.Event()
        thread = threading.Thread(target=source.run, args=(ear, stop), daemon=True)
        thread.start()
        assert ear.enough.wait(10)
        stop.set()
        thread.join(timeout=2)
        assert not thread.is_alive()
        assert {kind for kind, _ in ear.heard} == {"wifi"}


def test_a_radio_that_fails_ends_the_run_for_the_supervisor_to_see() -> None:
    source = source_of(RadioError("the antenna fell off"))
    with pytest.raises(RadioError, match="antenna"):
        source.run(Ear(), threading.Event())


def test_the_radio_is_the_one_that_the_settings_name() -> None:
    assert isinstance(open_radio(settings("nl80211"), FakeClock()), Nl80211Radio)
    simulated = open_radio(settings("simulated", "ap0"), FakeClock())
    assert isinstance(simulated, SimulatedRadio)
    assert simulated.read().interface == "ap0"
    with pytest.raises(SettingsError, match=r"hotspot\.adapter"):
        open_radio(settings("none"), FakeClock())


def test_the_check_asks_the_kernel_for_the_interface() -> None:
    with pytest.raises(SettingsError, match=r"^hotspot\.interface: .*plug"):
        check_hotspot(settings("nl80211", "simpul-none"))


@pytest.mark.parametrize("adapter", ["none", "simulated"])
def test_the_check_asks_nothing_of_a_radio_that_is_not_real(adapter: str) -> None:
    check_hotspot(settings(adapter, "simpul-none"))
