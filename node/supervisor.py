"""Runs each part of the agent in a thread, reports one that fails, and starts it again."""

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial

from node.backoff import Backoff
from node.clock import Clock
from node.messages import SimpulError, SourceFailed, SourceRecovered
from node.source import Sink, SlowStarter, Source

_BACKOFF_MIN_SECONDS = 1.0
_BACKOFF_MAX_SECONDS = 60.0
_RECOVERED_AFTER_SECONDS = 30.0
_REASON_LENGTH_MAX = 500
_log = logging.getLogger(__name__)


class Part:
    """One supervised thread: runs `work` again and again until its stop event is set."""

    def __init__(
        self,
        name: str,
        work: Callable[[threading.Event], None],
        *,
        sink: Sink,
        clock: Clock,
        backoff: Backoff | None = None,
        slow_starter: SlowStarter | None = None,
    ) -> None:
        """Prepare; `start` starts the thread. `slow_starter` tells when its work has begun."""
        self.name = name
        self._work = work
        self._sink = sink
        self._clock = clock
        self._slow_starter = slow_starter
        self._backoff = backoff or Backoff(
            min_seconds=_BACKOFF_MIN_SECONDS, max_seconds=_BACKOFF_MAX_SECONDS
        )
        self._failures_count = 0
        self._started_mono = clock.mono()
        self._running = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end."""
        self._stop.set()

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the thread to end; tell whether it did."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    @property
    def failing(self) -> bool:
        """Tell whether the work failed and has not lasted long enough since to count as mended."""
        return self._failures_count > 0

    def note_recovery(self) -> None:
        """Report that the part works again, once it has worked long enough after a failure."""
        since_mono = (
            self._slow_starter.works_since_mono if self._slow_starter else self._started_mono
        )
        if not self._failures_count or not self._running or since_mono is None:
            return
        if self._clock.mono() - since_mono >= _RECOVERED_AFTER_SECONDS:
            event = SourceRecovered(source=self.name, failures_count=self._failures_count)
            self._failures_count = 0
            self._backoff.reset()
            self._sink.event("source-recovered", event)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._started_mono = self._clock.mono()
            self._running = True
            try:
                self._work(self._stop)
            except Exception as error:  # noqa: BLE001 - the one place: a failing part stops no other
                self._running = False
                self._failed(error)
            else:
                self._running = False
                if not self._stop.is_set():
                    self._failed(RuntimeError("ended without being asked to"))

    def _failed(self, error: Exception) -> None:
        # A broad catch may hold a bug of ours: then the log needs the way to it.
        expected = isinstance(error, SimpulError)
        reason = str(error) if expected else f"{type(error).__name__}: {error}"
        self._failures_count += 1
        pause_seconds = self._backoff.next_seconds()
        _log.error(
            "%s failed: %s; next try in %.1f s",
            self.name,
            reason,
            pause_seconds,
            exc_info=None if expected else error,
        )
        self._sink.event(
            "source-failed",
            SourceFailed(
                source=self.name,
                reason=reason[:_REASON_LENGTH_MAX],
                failures_count=self._failures_count,
                retry_seconds=round(pause_seconds, 1),
            ),
        )
        self._stop.wait(pause_seconds)


def supervise(sources: Sequence[Source], sink: Sink, clock: Clock) -> list[Part]:
    """Return one part for each source, not started yet."""
    return [
        Part(
            source.name,
            partial(source.run, sink),
            sink=sink,
            clock=clock,
            slow_starter=source if isinstance(source, SlowStarter) else None,
        )
        for source in sources
    ]
