"""A radio with invented stations, for the demo and for tests: they come and go through the day.

Everything follows from the seed and the time, so that two runs of a node agree and nothing has to
be remembered between readings.
"""

import math
import random
from datetime import timedelta, timezone

from node.clock import Clock
from node.hotspot.radio import ChannelReading, Reading, StationReading

_LOCAL_TIME = timezone(timedelta(hours=7))  # western Indonesia
_FREQUENCY_MHZ = 2437
_DEVICES_COUNT = 30
_NEIGHBOURS_COUNT = 2  # of them: till and telephone of the shop under the pole, there day and night
_DAY_SECONDS = 86_400
# How likely a device comes by in each hour of the day: a street that lives in the evening.
_DEMAND = (
    *(0.12, 0.08, 0.05, 0.05, 0.08, 0.2, 0.35, 0.5, 0.45, 0.45, 0.5, 0.6),
    *(0.7, 0.6, 0.5, 0.5, 0.6, 0.75, 0.85, 0.95, 0.9, 0.7, 0.45, 0.25),
)
# Signal from which a rate holds, in dBm, and the rate in Mbit/s (802.11n, 20 MHz, one stream).
_RATES = ((-62, 65.0), (-65, 58.5), (-67, 52.0), (-71, 39.0), (-75, 26.0), (-78, 19.5), (-81, 13.0))
_RATE_MIN_MBPS = 6.5
_PACKET_BYTES = 900


class SimulatedRadio:
    """Invents its stations; implements node.hotspot.radio.Radio."""

    simulated = True

    def __init__(self, interface: str, *, seed: str, clock: Clock) -> None:
        """Invent for `interface`; the wall time counts once, here, so that a step moves nobody."""
        self._interface = interface
        self._seed = seed
        self._clock = clock
        self._start_mono = clock.mono()
        local = clock.wall().astimezone(_LOCAL_TIME)
        self._start_seconds = local.timestamp() + _LOCAL_TIME.utcoffset(None).total_seconds()

    def read(self) -> Reading:
        """Return who would be there now."""
        on_seconds = self._clock.mono() - self._start_mono
        now_seconds = self._start_seconds + on_seconds
        visits = (
            _station(f"{self._seed} {i}", now_seconds, stays=i < _NEIGHBOURS_COUNT)
            for i in range(_DEVICES_COUNT)
        )
        return Reading(
            interface=self._interface,
            mode="ap",
            frequency_mhz=_FREQUENCY_MHZ,
            stations=tuple(station for station in visits if station is not None),
            channel=_channel(on_seconds),
        )


def _station(seed: str, now_seconds: float, *, stays: bool) -> StationReading | None:
    """Return the device called `seed`, or None while it is away; one that stays never is."""
    device = _dice(seed)
    address = _address(device)
    period_seconds = device.uniform(25 * 60, 75 * 60)
    shifted_seconds = now_seconds + device.uniform(0, period_seconds)
    usual_dbm = device.uniform(-80, -42)
    bytes_per_second = device.lognormvariate(9.5, 1.2)

    # One visit at most in each period, somewhere within it.
    period = math.floor(shifted_seconds / period_seconds)
    visit = _dice(f"{seed} {period}")
    since_seconds = shifted_seconds - period * period_seconds
    hour = int(now_seconds - since_seconds) % _DAY_SECONDS // 3600
    comes = visit.random() < _DEMAND[hour]
    connected_seconds = since_seconds - visit.uniform(0, 0.3) * period_seconds
    leaves_seconds = visit.uniform(0.2, 0.7) * period_seconds
    if stays:
        connected_seconds = since_seconds
    elif not comes or not 0 <= connected_seconds < leaves_seconds:
        return None

    average_dbm = usual_dbm + 6 * _wander(f"{seed} signal", now_seconds, step_seconds=60)
    signal_dbm = average_dbm + 3 * _wander(f"{seed} fading", now_seconds, step_seconds=5)
    rate_mbps = _rate_mbps(average_dbm)
    tx_bytes = _grown(bytes_per_second, connected_seconds)
    packets_count = tx_bytes // _PACKET_BYTES
    # By the usual signal, which stays the same, so that the counters never fall.
    retry_ratio = 0.02 + 0.35 * ((-42 - usual_dbm) / 38) ** 2
    return StationReading(
        address=address,
        signal_dbm=round(signal_dbm),
        signal_average_dbm=round(average_dbm),
        tx_rate_mbps=rate_mbps,
        rx_rate_mbps=_rate_mbps(average_dbm - 3),
        tx_packets_count=packets_count,
        tx_retries_count=int(packets_count * retry_ratio),
        tx_failed_count=int(packets_count * retry_ratio**4),
        tx_bytes=tx_bytes,
        rx_bytes=_grown(bytes_per_second / 8, connected_seconds),
        connected_seconds=int(connected_seconds),
        inactive_seconds=round(_dice(f"{seed} {now_seconds:.0f}").expovariate(0.5), 3),
    )


def _channel(on_seconds: float) -> ChannelReading:
    busy_seconds = 0.3 * _swelling_seconds(on_seconds)
    return ChannelReading(
        frequency_mhz=_FREQUENCY_MHZ,
        in_use=True,
        noise_dbm=-92,
        active_seconds=round(on_seconds, 3),
        busy_seconds=round(busy_seconds, 3),
        receive_seconds=round(0.3 * busy_seconds, 3),
        transmit_seconds=round(0.5 * busy_seconds, 3),
    )


def _address(dice: random.Random) -> bytes:
    """Return an address as phones invent them: locally administered, for one device."""
    first = dice.getrandbits(8) & 0xFC | 0x02
    return bytes([first, *dice.randbytes(5)])


def _grown(bytes_per_second: float, seconds: float) -> int:
    return int(bytes_per_second * _swelling_seconds(seconds))


def _swelling_seconds(seconds: float, *, period_seconds: float = 97.0) -> float:
    """Return a time that runs unevenly, but never backwards: the integral of 1 + 0.8 sin."""
    turn = math.tau * seconds / period_seconds
    return seconds + 0.8 * period_seconds / math.tau * (1 - math.cos(turn))


def _wander(seed: str, now_seconds: float, *, step_seconds: float) -> float:
    """Return a value from -1 to 1 that moves smoothly from one random point to the next."""
    step, part = divmod(now_seconds / step_seconds, 1)
    here, there = (_dice(f"{seed} {at:.0f}").uniform(-1, 1) for at in (step, step + 1))
    smooth = part * part * (3 - 2 * part)
    return here + (there - here) * smooth


def _rate_mbps(signal_dbm: float) -> float:
    return next((rate for least_dbm, rate in _RATES if signal_dbm >= least_dbm), _RATE_MIN_MBPS)


def _dice(seed: str) -> random.Random:
    return random.Random(seed)  # noqa: S311 - invents a demo; must repeat, must not be secret
