"""Holds the source to its port: it starts at once, keeps the beat, stops, and bears bad rows."""

import logging
import math
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import Struct

from node.clock import FakeClock, SystemClock
from node.health.machine import Machine
from node.health.readings import TABLE, Reading, TextFile
from node.health.source import HealthSource
from node.messages import Health
from node.source import Source


class Recorder:
    """A sink that keeps what it hears and tells when that has grown."""

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


@contextmanager
def running(source: Source, sink: Recorder) -> Iterator[threading.Thread]:
    stop = threading.Event()
    thread = threading.Thread(target=source.run, args=(sink, stop), daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join(timeout=2)
        assert not thread.is_alive(), "must return within two seconds"


def test_a_real_run_measures_at_once_and_stops_within_a_long_interval(tmp_path: Path) -> None:
    machine = Machine(root=Path("/"), state_directory=tmp_path, clock=SystemClock())
    source = HealthSource(machine, measure_interval_seconds=3600)
    sink = Recorder()
    with running(source, sink):
        assert sink.enough.wait(timeout=30)
    assert len(sink.heard) == 1
    kind, health = sink.heard[0]
    assert kind == source.name == "health"
    assert isinstance(health, Health)
    assert health.uptime_seconds is not None


def test_it_goes_on_measuring(tmp_path: Path) -> None:
    machine = Machine(root=Path("/"), state_directory=tmp_path, clock=SystemClock())
    sink = Recorder(wanted=4)
    with running(HealthSource(machine, measure_interval_seconds=0.01), sink):
        assert sink.enough.wait(timeout=30)


class Waits(threading.Event):
    """A stop event whose waiting moves a fake clock, and a little too far, as real ones do."""

    def __init__(self, clock: FakeClock, *, until_seconds: float) -> None:
        super().__init__()
        self._clock = clock
        self._until_seconds = until_seconds

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        assert timeout > 0
        self._clock.advance(timeout + 0.001)
        if self._clock.mono() >= self._until_seconds:
            self.set()
        return self.is_set()


def beats(machine: Machine, clock: FakeClock, *, cost_seconds: float, until: float) -> list[float]:
    moments: list[float] = []

    def spend() -> dict[str, int]:
        moments.append(clock.mono())
        clock.advance(cost_seconds)
        return {}

    source = HealthSource(machine, measure_interval_seconds=10, extra=[spend])
    source.run(Recorder(), Waits(clock, until_seconds=until))
    return moments


def test_the_beat_does_not_drift(empty: Machine) -> None:
    clock = FakeClock()
    moments = beats(replace(empty, clock=clock), clock, cost_seconds=3, until=9_995)
    assert len(moments) == 1000
    assert all(math.isclose(moment % 10, 0.001, abs_tol=1e-6) for moment in moments[1:])


def test_missed_beats_are_skipped_not_made_up_for(empty: Machine) -> None:
    clock = FakeClock()
    moments = beats(replace(empty, clock=clock), clock, cost_seconds=25, until=115)
    assert [round(moment) for moment in moments] == [0, 30, 60, 90]


def place(root: Path, path: str, content: bytes | None) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00", b"garbage\n", b"1 2 3\n"])
def test_a_bad_row_stays_absent_is_told_once_and_stops_no_other(
    empty: Machine, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    place(empty.root, "proc/uptime", content)
    place(empty.root, "proc/loadavg", b"0.50 0.40 0.30 1/80 11206\n")
    source = HealthSource(empty, measure_interval_seconds=1)
    with caplog.at_level(logging.WARNING):
        healths = [source.measure() for _ in range(3)]
    assert {health.uptime_seconds for health in healths} == {None}
    assert {health.load_1min for health in healths} == {0.5}
    (record,) = caplog.records
    assert "/proc/uptime" in record.getMessage()


def test_every_row_may_fail_at_once(empty: Machine, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: object = None) -> bytes:
        raise OSError(5, "Input/output error")

    def broken_file_system(_: Path) -> os.statvfs_result:
        raise OSError(5, "Input/output error")

    files = [origin.path for row in TABLE for origin in row.origins if isinstance(origin, TextFile)]
    for path in files:
        if "{" not in path:
            place(empty.root, path.replace("*", ""), b"\xff")
    machine = replace(empty, statvfs=broken_file_system, timex=broken)
    assert HealthSource(machine, measure_interval_seconds=1).measure() == Health(clock_synced=True)
    assert len(caplog.records) == 7


def test_missing_files_are_no_news(empty: Machine, caplog: pytest.LogCaptureFixture) -> None:
    HealthSource(empty, measure_interval_seconds=1).measure()
    assert not caplog.records


def test_a_forbidden_firmware_is_told_and_the_kernel_asked(
    recorded: Callable[..., Machine], caplog: pytest.LogCaptureFixture
) -> None:
    def forbidden(device: Path) -> str:
        raise PermissionError(13, "Permission denied", str(device))

    machine = replace(recorded("pi4"), ask_firmware=forbidden)
    health = HealthSource(machine, measure_interval_seconds=1).measure()
    assert health.throttled_now is False
    assert health.throttled_since_boot is None, "the kernel cannot know"
    assert "dev/vcio" in caplog.text


def test_other_rooms_add_their_figures(empty: Machine) -> None:
    source = HealthSource(
        empty,
        measure_interval_seconds=1,
        extra=[
            lambda: {"uplink_connects_count": 2, "uplink_round_trip_seconds": None},
            lambda: {"outbox_bytes": 4096, "outbox_volatile": False},
        ],
    )
    health = source.measure()
    assert health.uplink_connects_count == 2
    assert health.uplink_round_trip_seconds is None
    assert health.outbox_bytes == 4096
    assert health.outbox_volatile is False


@pytest.mark.parametrize("figures", [{"outbox_byte": 1}, {"outbox_bytes": "many"}])
def test_a_wrong_promise_of_another_room_is_loud(empty: Machine, figures: dict[str, int]) -> None:
    source = HealthSource(empty, measure_interval_seconds=1, extra=[lambda: figures])
    with pytest.raises((TypeError, ValueError), match="outbox_byte"):
        source.measure()


def test_a_row_says_nothing_beyond_its_fields(empty: Machine) -> None:
    row = Reading(("load_1min",), (lambda _: {"load_1min": 0.5, "uptime_seconds": 1.0},))
    health = HealthSource(empty, measure_interval_seconds=1, table=[row]).measure()
    assert health == Health(load_1min=0.5)
