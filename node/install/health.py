"""Judges on the node itself whether a release that was just started does what the last one did."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from node.install.service import Pulse, Service

_LOOK_S = 0.5
_SILENT_MAX_S = 10.0  # the agent tells its watchdog every second
_HANG_SHOWS_S = _SILENT_MAX_S + 2 * _LOOK_S
_NEWEST = """
SELECT boot, EXISTS (
  SELECT 1 FROM (SELECT boot AS run, sent FROM batch ORDER BY id DESC LIMIT 20)
  WHERE run = boot AND sent)
FROM batch ORDER BY id DESC LIMIT 1
"""


class Output(Struct, frozen=True):
    """What the agent brought about: the run that wrote last, and whether a broker took of it."""

    run: str
    delivered: bool


def output_of(outbox: Path) -> Output | None:
    """Return what the file of an outbox tells; None where it cannot be read.

    A release with another format of its outbox is not judged by it.
    """
    try:
        with closing(sqlite3.connect(f"file:{outbox}?mode=ro", uri=True, timeout=5)) as opened:
            row = opened.execute(_NEWEST).fetchone()
    except sqlite3.Error:
        return None
    return Output(row[0], bool(row[1])) if row else Output("", delivered=False)


class Watch(Struct, frozen=True, kw_only=True):
    """How a started release is judged.

    It may not stumble for `soak_s`; it has `patience_s` more to measure again, and to reach a
    broker if the release `before` did.
    """

    service: Service
    outbox: Path
    before: Output | None
    soak_s: float
    patience_s: float

    def verdict(self) -> str:
        """Return what is wrong; empty when the release is good. Raises ServiceError."""
        first = self.service.pulse()
        if not first.active:
            return f"the agent does not run: {first.words}"
        wanting = ["it was not looked at"]
        for now, elapsed_s in self._looks():
            if stumbled := _stumbled(first, now):
                return stumbled
            wanting = [*self._wanting(now)]
            # Less would end before a hang could show.
            least_s = self.soak_s if now.silent_s is None else max(self.soak_s, _HANG_SHOWS_S)
            if elapsed_s >= least_s and not wanting:
                break
        return "; ".join(wanting)

    def _looks(self) -> Iterator[tuple[Pulse, float]]:
        begun_s = time.monotonic()
        elapsed_s = 0.0
        while elapsed_s < max(self.soak_s, _HANG_SHOWS_S) + self.patience_s:
            time.sleep(_LOOK_S)  # systemd is asked; it calls nobody
            elapsed_s = time.monotonic() - begun_s
            yield self.service.pulse(), elapsed_s

    def _wanting(self, now: Pulse) -> Iterator[str]:
        if now.silent_s is not None and now.silent_s > _SILENT_MAX_S:
            yield f"the agent hangs: silent for {now.silent_s:.0f} s"
        after = output_of(self.outbox)
        if after is None:
            return
        if after.run == (self.before.run if self.before else ""):
            yield "the agent records nothing"
        elif self.before and self.before.delivered and not after.delivered:
            yield "the agent reaches no broker, though the last release did"


def _stumbled(first: Pulse, now: Pulse) -> str:
    if not now.active:
        return f"the agent ended: {now.words}"
    if (now.pid, now.restarts) != (first.pid, first.restarts):
        return "the agent crashed and was restarted"
    return ""
