"""One failing source is reported and restarted; the others go on; a stop is quick."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import Struct
from services.waiting import until

from node.backoff import Backoff
from node.camera.source import CameraSource
from node.clock import FakeClock, SystemClock
from node.errors import RadioError
from node.messages import SourceFailed, SourceRecovered
from node.settings import Camera
from node.source import Sink
from node.supervisor import Part, supervise


class Ledger:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Struct]] = []
        self.measured: list[str] = []

    def measure(self, kind: str, data: Struct) -> None:
        del data
        self.measured.append(kind)

    def event(self, name: str, data: Struct) -> None:
        self.events.append((name, data))

    def frame(self, jpeg: bytes, *, width: int, height: int, mono: float, simulated: bool) -> None:
        raise NotImplementedError


class Steady:
    name = "steady"

    def run(self, sink: Sink, stop: threading.Event) -> None:
        while not stop.wait(0.01):
            sink.measure(
                "health", SourceFailed(source="", reason="", failures_count=1, retry_seconds=0)
            )


class Broken:
    name = "broken"

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.runs = 0

    def run(self, sink: Sink, stop: threading.Event) -> None:
        del sink, stop
        self.runs += 1
        raise self.error


def quick(work: Callable[[threading.Event], None], ledger: Ledger, clock: FakeClock) -> Part:
    backoff = Backoff(min_seconds=0.01, max_seconds=0.02)
    return Part("part", work, sink=ledger, clock=clock, backoff=backoff)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RadioError("wlan0 is gone"), "wlan0 is gone"),
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero"),
    ],
)
def test_a_failing_source_is_reported_and_stops_no_other(error: Exception, reason: str) -> None:
    ledger = Ledger()
    parts = supervise([Broken(error), Steady()], ledger, SystemClock())
    for part in parts:
        part.start()
    until(lambda: bool(ledger.events), "the event")
    before = len(ledger.measured)
    until(lambda: len(ledger.measured) > before + 5, "the other source")
    for part in parts:
        part.stop()
    assert all(part.join(2) for part in parts)
    name, event = ledger.events[0]
    assert name == "source-failed"
    assert isinstance(event, SourceFailed)
    assert (event.source, event.reason, event.failures_count) == ("broken", reason, 1)


def test_a_source_is_started_again_and_again_with_growing_pauses() -> None:
    ledger, broken = Ledger(), Broken(RadioError("no"))
    part = quick(lambda stop: broken.run(ledger, stop), ledger, FakeClock())
    part.start()
    until(lambda: broken.runs >= 4, "four runs")
    part.stop()
    assert part.join(2)
    counts = [e.failures_count for _, e in ledger.events if isinstance(e, SourceFailed)]
    assert counts[:4] == [1, 2, 3, 4]


def test_a_source_that_ends_by_itself_has_failed() -> None:
    ledger = Ledger()
    part = quick(lambda _stop: None, ledger, FakeClock())
    part.start()
    until(lambda: bool(ledger.events), "the event")
    part.stop()
    assert part.join(2)
    event = ledger.events[0][1]
    assert isinstance(event, SourceFailed)
    assert "without being asked" in event.reason


def test_a_recovery_is_told_once_it_has_lasted() -> None:
    ledger, clock, running = Ledger(), FakeClock(), threading.Event()
    failures = iter([RadioError("first"), RadioError("second")])

    def work(stop: threading.Event) -> None:
        error = next(failures, None)
        if error:
            raise error
        running.set()
        stop.wait()

    part = quick(work, ledger, clock)
    part.start()
    assert running.wait(5)
    part.note_recovery()
    assert [name for name, _ in ledger.events] == ["source-failed"] * 2
    clock.advance(31)
    part.note_recovery()
    part.note_recovery()
    part.stop()
    assert part.join(2)
    assert ledger.events[2:] == [
        ("source-recovered", SourceRecovered(source="part", failures_count=2))
    ]


# Ends at once the first time; then gives its first frame when a still is asked for.
CAMERA = """
import os, sys
from node.camera.pipe import Figures, encode_record
failed, again = sys.argv[1:]
if not os.path.exists(failed):
    open(failed, "w").close()
    sys.exit(1)
open(again, "w").close()
sys.stdin.buffer.raw.read(1)
figures = Figures(frames_count=1, frames_dropped_count=0, newest_mono=1e9,
    width=64, height=48, simulated=True, masked_ratio=0.1)
sys.stdout.buffer.write(encode_record(figures))
sys.stdout.buffer.flush()
sys.stdin.buffer.raw.read()
"""


def test_a_camera_recovers_with_its_frames_and_not_while_it_starts(tmp_path: Path) -> None:
    ledger, clock, again = Ledger(), FakeClock(), tmp_path / "again"
    command = [sys.executable, "-c", CAMERA, str(tmp_path / "failed"), str(again)]
    source = CameraSource(Camera(adapter="rendered"), command, clock=clock, start_seconds=1000)
    (part,) = supervise([source], ledger, clock)
    part.start()
    until(again.exists, "the second start")
    clock.advance(600)
    part.note_recovery()
    assert part.failing, "it has not given a frame yet"
    source.snapshot()
    until(lambda: source.works_since_mono is not None, "the first frame")
    part.note_recovery()
    assert part.failing, "it has not lasted yet"
    clock.advance(31)
    part.note_recovery()
    part.stop()
    assert part.join(10)
    assert not part.failing
    assert [name for name, _ in ledger.events] == ["source-failed", "source-recovered"]
    assert source.works_since_mono is None
