"""The camera as the agent sees it: a process that is watched, and killed when it stops delivering.

Nothing here imports numpy or a codec: an agent whose camera is elsewhere must stay small.
"""

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from node import messages, settings
from node.camera.child import CameraChild
from node.camera.pipe import Figures, Record, Still
from node.clock import Clock, SystemClock
from node.errors import CameraError
from node.source import Sink

START_SECONDS = 30.0
"""How long the first frame may take: picamera2 alone imports for ten seconds on a Zero 2 W."""

_START_DOUBLINGS_MAX = 2
"""Of that time, once for each slow start in a row: a busy machine would else kill every one."""

_POLL_SECONDS = 0.2
_FRAMES_MISSED_MAX = 3


def camera_command(settings_path: Path) -> tuple[str, ...]:
    """Return the command line of the camera process."""
    return (sys.executable, "-m", "node", "camera", "--config", str(settings_path))


@dataclass(slots=True)
class _Run:
    """What is known of one run of the camera process."""

    started_mono: float
    figures: Figures | None = None
    still_mono: float = float("-inf")
    measured_mono: float = float("-inf")
    measured_figures: Figures | None = None


class CameraSource:
    """Runs the camera process, measures it, and passes its stills on. A SlowStarter."""

    name = "camera"

    def __init__(
        self,
        camera: settings.Camera,
        command: Sequence[str],
        *,
        clock: Clock | None = None,
        start_seconds: float = START_SECONDS,
    ) -> None:
        """Take the command that starts the process, see camera_command."""
        self._camera = camera
        self._command = tuple(command)
        self._clock = clock or SystemClock()
        self._start_seconds = max(start_seconds, camera.stall_seconds)
        self._stall_seconds = max(
            camera.stall_seconds, _FRAMES_MISSED_MAX / camera.frames_per_second
        )
        self._starts_count = 0
        self._slow_starts_count = 0
        self._works_since_mono: float | None = None
        self._child: CameraChild | None = None
        self._former: CameraChild | None = None
        self._child_lock = threading.Lock()

    @property
    def works_since_mono(self) -> float | None:
        """Monotonic time, in seconds, of this run's first frame; None before."""
        return self._works_since_mono

    def run(self, sink: Sink, stop: threading.Event) -> None:
        """Run one camera process until `stop`; return within two seconds.

        Raises CameraError, after a measurement that says so, when the process ends or delivers no
        frame in time; it is killed then. To be called again after a back-off; none is started while
        the former one cannot be ended.
        """
        self._starts_count += 1
        run = _Run(self._clock.mono())
        try:
            with self._running_child() as child:
                while not stop.is_set():
                    for record in child.read(timeout_seconds=_POLL_SECONDS):
                        self._take(record, run, sink)
                    self._require_fresh_frame(run)
                    self._measure_when_due(run, sink)
        except CameraError:
            sink.measure("camera", self._measurement(run, running=False))
            raise
        finally:
            self._works_since_mono = None

    def snapshot(self) -> None:
        """Have a still sent with the next frame; may be called from any thread.

        Raises CameraError when the camera is not running.
        """
        with self._child_lock:
            if self._child is None:
                raise CameraError("the camera is not running; it is started again by itself")
            self._child.request_still()

    @contextmanager
    def _running_child(self) -> Iterator[CameraChild]:
        if self._former is not None:
            self._former.require_end()
        child = self._former = CameraChild(self._command)
        try:
            with self._child_lock:
                self._child = child
            yield child
        except CameraError:
            child.kill()  # a driver that hangs now would hang in a polite end, too
            raise
        finally:
            with self._child_lock:
                self._child = None
            child.close()

    def _take(self, record: Record, run: _Run, sink: Sink) -> None:
        if isinstance(record, Figures):
            if run.figures is None:
                self._works_since_mono = self._clock.mono()
            run.figures = record
            self._slow_starts_count = 0
            return
        if self._is_new(record, run):
            run.still_mono = record.mono
            sink.frame(
                record.jpeg,
                width=record.width,
                height=record.height,
                mono=record.mono,
                simulated=record.simulated,
            )

    def _is_new(self, still: Still, run: _Run) -> bool:
        """Tell whether a still may be shown as the present: fresh, and none that was sent."""
        age_seconds = self._clock.mono() - still.mono
        return still.mono > run.still_mono and age_seconds <= self._stall_seconds

    def _require_first_frame(self, run: _Run) -> None:
        """Raise CameraError when it is late; the next start may take twice as long."""
        waited_seconds = self._clock.mono() - run.started_mono
        doublings_count = min(self._slow_starts_count, _START_DOUBLINGS_MAX)
        limit_seconds = self._start_seconds * 2**doublings_count
        if waited_seconds > limit_seconds:
            self._slow_starts_count += 1
            raise CameraError(
                f"no first frame {waited_seconds:.1f} s after the camera process was started "
                f"(at most {limit_seconds:g} s); it was killed; check the cable and the adapter"
            )

    def _require_fresh_frame(self, run: _Run) -> None:
        """Raise CameraError when the newest frame is too old."""
        if run.figures is None:
            self._require_first_frame(run)
            return
        now = self._clock.mono()
        age_seconds = now - run.figures.newest_mono
        if age_seconds > self._stall_seconds:
            raise CameraError(
                f"no new frame for {age_seconds:.1f} s (at most {self._stall_seconds:g} s); "
                "the camera process was killed"
            )

    def _measure_when_due(self, run: _Run, sink: Sink) -> None:
        now = self._clock.mono()
        due = run.measured_mono + self._camera.measure_interval_seconds
        if run.figures is None or now < due:
            return
        sink.measure("camera", self._measurement(run, running=True))
        run.measured_mono, run.measured_figures = now, run.figures

    def _measurement(self, run: _Run, *, running: bool) -> messages.Camera:
        figures = run.figures
        adapter, restarts_count = self._camera.adapter, self._starts_count - 1
        if figures is None:
            return messages.Camera(adapter=adapter, running=running, restarts_count=restarts_count)
        return messages.Camera(
            adapter=adapter,
            running=running,
            simulated=figures.simulated,
            frame_age_seconds=round(max(0.0, self._clock.mono() - figures.newest_mono), 3),
            frames_per_second=_rate(run.measured_figures, figures),
            width=figures.width,
            height=figures.height,
            frames_count=figures.frames_count,
            frames_dropped_count=figures.frames_dropped_count,
            restarts_count=restarts_count,
            masked_ratio=round(figures.masked_ratio, 4),
        )


def _rate(before: Figures | None, now: Figures) -> float | None:
    """Return frames per second between two figures; None where there is nothing to compare."""
    if before is None:
        return None
    seconds = now.newest_mono - before.newest_mono
    return round((now.frames_count - before.frames_count) / seconds, 2) if seconds > 0 else 0.0
