"""The source that says at a steady beat who is on the hotspot, by pseudonym."""

import logging
import threading
from typing import TYPE_CHECKING

from node.beat import beats
from node.clock import Clock
from node.errors import RadioError, SettingsError
from node.hotspot.pseudonym import Pseudonyms
from node.hotspot.radio import ChannelReading, Radio, Reading, StationReading
from node.messages import Airtime, Station, Wifi
from node.settings import Hotspot, NodeSettings
from node.source import Sink

if TYPE_CHECKING:
    from node.hotspot.nl80211_radio import Nl80211Radio

_LOG = logging.getLogger(__name__)


class HotspotSource:
    """Measures the hotspot; implements node.source.Source."""

    name = "hotspot"

    def __init__(self, settings: Hotspot, radio: Radio, *, clock: Clock) -> None:
        """Read `radio` every settings.measure_interval_seconds."""
        self._interval_seconds = settings.measure_interval_seconds
        self._radio = radio
        self._clock = clock
        self._pseudonyms = Pseudonyms(clock)
        self._was_up = True

    def run(self, sink: Sink, stop: threading.Event) -> None:
        """Send a Wifi at once and then at every beat, until `stop` is set. Raises RadioError."""
        for _ in beats(stop, clock=self._clock, interval_seconds=self._interval_seconds):
            sink.measure("wifi", self.measure())

    def measure(self) -> Wifi:
        """Read the radio once. Raises RadioError."""
        reading = self._radio.read()
        self._log_change(reading)
        stations = (_station(station, self._pseudonyms) for station in reading.stations)
        return Wifi(
            interface=reading.interface,
            up=reading.up,
            simulated=self._radio.simulated,
            stations_count=len(reading.stations),
            stations=tuple(sorted(stations, key=lambda station: station.pseudonym)),
            airtime=None if reading.channel is None else _airtime(reading.channel),
        )

    def _log_change(self, reading: Reading) -> None:
        if reading.up == self._was_up:
            return
        self._was_up = reading.up
        if reading.up:
            _LOG.info("%s is an access point again", reading.interface)
        else:
            _LOG.warning(
                "%s is no access point with a channel (mode %s); is hostapd running?",
                reading.interface,
                reading.mode,
            )


def open_radio(settings: NodeSettings, clock: Clock) -> Radio:
    """Return the radio that the settings name. Raises SettingsError when it cannot be had."""
    if settings.hotspot.adapter == "nl80211":
        return _open_nl80211(settings.hotspot)
    if settings.hotspot.adapter == "simulated":
        from node.hotspot.simulated_radio import SimulatedRadio  # noqa: PLC0415 - chosen here

        return SimulatedRadio(settings.hotspot.interface, seed=settings.node.name, clock=clock)
    raise SettingsError("hotspot.adapter: none was chosen; there is no radio to open")


def check_hotspot(settings: NodeSettings) -> None:
    """Ask the kernel for the interface, when the adapter is nl80211; others need nothing.

    Raises SettingsError when pyroute2 is missing, or the kernel has no such interface.
    """
    if settings.hotspot.adapter != "nl80211":
        return
    try:
        _open_nl80211(settings.hotspot).find()
    except RadioError as error:
        raise SettingsError(f"hotspot.interface: {error}") from error


def _open_nl80211(settings: Hotspot) -> "Nl80211Radio":
    try:
        from node.hotspot.nl80211_radio import Nl80211Radio  # noqa: PLC0415 - chosen here
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"hotspot.adapter: nl80211 needs the Python package {error.name}; "
            "install simpul with its extra `node`"
        ) from error
    return Nl80211Radio(settings.interface)


def _station(reading: StationReading, pseudonyms: Pseudonyms) -> Station:
    return Station(
        pseudonym=pseudonyms.of(reading.address),
        signal_dbm=reading.signal_dbm,
        signal_average_dbm=reading.signal_average_dbm,
        tx_rate_mbps=reading.tx_rate_mbps,
        rx_rate_mbps=reading.rx_rate_mbps,
        tx_packets_count=reading.tx_packets_count,
        tx_retries_count=reading.tx_retries_count,
        tx_failed_count=reading.tx_failed_count,
        tx_bytes=reading.tx_bytes,
        rx_bytes=reading.rx_bytes,
        connected_seconds=reading.connected_seconds,
        inactive_seconds=reading.inactive_seconds,
    )


def _airtime(reading: ChannelReading) -> Airtime:
    return Airtime(
        frequency_mhz=reading.frequency_mhz,
        noise_dbm=reading.noise_dbm,
        active_seconds=reading.active_seconds,
        busy_seconds=reading.busy_seconds,
        receive_seconds=reading.receive_seconds,
        transmit_seconds=reading.transmit_seconds,
    )
