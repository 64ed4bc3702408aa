"""The invented stations behave: they repeat by seed, come and go through the day, and only grow."""

import itertools
from datetime import UTC, datetime

from node.clock import FakeClock
from node.hotspot.radio import Reading, StationReading
from node.hotspot.simulated_radio import SimulatedRadio

MIDNIGHT = datetime(2026, 3, 1, 17, tzinfo=UTC)  # in western Indonesia
STEP_SECONDS = 300
DAY_STEPS = 24 * 12


def day(seed: str, *, steps: int = DAY_STEPS) -> list[Reading]:
    clock = FakeClock(wall=MIDNIGHT)
    radio = SimulatedRadio("wlan0", seed=seed, clock=clock)
    readings = []
    for _ in range(steps):
        readings.append(radio.read())
        clock.advance(STEP_SECONDS)
    return readings


def present(readings: list[Reading], *, from_hour: int, to_hour: int) -> float:
    some = readings[from_hour * 12 : to_hour * 12]
    return sum(len(reading.stations) for reading in some) / len(some)


def test_a_node_invents_the_same_again_and_another_node_does_not() -> None:
    assert day("pasar-horas", steps=20) == day("pasar-horas", steps=20)
    here, there = (
        {station.address for reading in day(seed, steps=20) for station in reading.stations}
        for seed in ("pasar-horas", "adam-malik")
    )
    assert here.isdisjoint(there)


def test_it_does_not_matter_how_often_it_is_read() -> None:
    clock = FakeClock(wall=MIDNIGHT)
    radio = SimulatedRadio("wlan0", seed="pasar-horas", clock=clock)
    clock.advance(19 * STEP_SECONDS)
    assert radio.read() == day("pasar-horas", steps=20)[-1]


def test_the_street_is_full_in_the_evening_and_nearly_empty_at_night() -> None:
    for seed in ("adam-malik", "pasar-horas", "taman-bunga"):
        readings = day(seed)
        evening = present(readings, from_hour=18, to_hour=21)
        assert 8 <= evening <= 19, "as many as such a radio carries"
        assert present(readings, from_hour=2, to_hour=4) <= evening / 3
        assert all(reading.stations for reading in readings), "the neighbours stay"


def test_devices_come_and_go() -> None:
    readings = day("pasar-horas")
    sets = [{station.address for station in reading.stations} for reading in readings]
    changes = sum(before != after for before, after in itertools.pairwise(sets))
    assert changes > DAY_STEPS / 4
    assert len(set().union(*sets)) > 20


def test_counters_only_grow_while_a_device_stays() -> None:
    readings = day("pasar-horas")
    stays = 0
    for before, after in itertools.pairwise(readings):
        old = {station.address: station for station in before.stations}
        for station in after.stations:
            was = old.get(station.address)
            if was is None or station.connected_seconds < STEP_SECONDS:
                continue
            stays += 1
            assert station.connected_seconds == was.connected_seconds + STEP_SECONDS
            for name in ("tx_bytes", "rx_bytes", "tx_packets_count"):
                assert getattr(station, name) > getattr(was, name)
            for name in ("tx_retries_count", "tx_failed_count"):
                assert getattr(station, name) >= getattr(was, name)
    assert stays > 1000
    busy = [reading.channel.busy_seconds for reading in readings]
    assert busy == sorted(busy)


def test_the_signal_wanders_but_does_not_jump() -> None:
    clock = FakeClock(wall=MIDNIGHT)
    radio = SimulatedRadio("wlan0", seed="pasar-horas", clock=clock)
    signals = []
    for _ in range(600):
        station = min(radio.read().stations, key=lambda station: station.address)
        signals.append((station.address, station.signal_average_dbm))
        clock.advance(1)
    own = [dbm for address, dbm in signals if address == signals[0][0]]
    steps = [abs(b - a) for a, b in itertools.pairwise(own)]
    assert max(steps) <= 1
    assert len(set(own)) > 3


def test_a_wall_clock_that_is_set_right_moves_nobody() -> None:
    clock = FakeClock()
    radio = SimulatedRadio("wlan0", seed="pasar-horas", clock=clock)
    before = radio.read()
    clock.set_wall(MIDNIGHT)
    assert radio.read() == before


def test_addresses_are_of_the_kind_that_no_maker_gives_out() -> None:
    stations: list[StationReading] = [s for r in day("pasar-horas") for s in r.stations]
    assert all(station.address[0] & 0b11 == 0b10 for station in stations)
