"""Judges on the node itself whether a release that was just started does what the last one did."""

import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from node.install.service import Pulse, Service
from node.messages import Camera, Wifi, decode_data
from node.outbox.batch import unpack

_LOOK_S = 0.5
_SILENT_MAX_S = 10.0  # the agent tells its watchdog every second
_HANG_SHOWS_S = _SILENT_MAX_S + 2 * _LOOK_S
_ROWS_MAX = 120  # far more than lie between two measurements of one kind
_NEWEST = """
SELECT batch.boot, batch.sent, body.body FROM batch JOIN body USING (id)
WHERE batch.boot = (SELECT boot FROM batch ORDER BY id DESC LIMIT 1)
ORDER BY batch.id DESC LIMIT ?
"""
_SENT_AMONG = 20


class Output(Struct, frozen=True):
    """What the agent brought about: the run that wrote last, and whether a broker took of it.

    `frames` and `beacons` are what it measured last of its camera and of its access point; None
    where it measured neither.
    """

    run: str
    delivered: bool
    frames: bool | None = None
    beacons: bool | None = None


def output_of(outbox: Path, *, measured: bool = True) -> Output | None:
    """Return what the file of an outbox tells, its measurements only if asked; None without one.

    A release with another format of its outbox is not judged by it.
    """
    try:
        with closing(sqlite3.connect(f"file:{outbox}?mode=ro", uri=True, timeout=5)) as opened:
            rows = opened.execute(_NEWEST, (_ROWS_MAX,)).fetchall()
        frames, beacons = _measured(body for _, _, body in rows if measured)
    except (sqlite3.Error, ValueError):
        return None
    run = rows[0][0] if rows else ""
    return Output(run, any(sent for _, sent, _ in rows[:_SENT_AMONG]), frames, beacons)


def _measured(bodies: Iterable[bytes]) -> tuple[bool | None, bool | None]:
    """Return whether the camera ran and the access point was up, by the newest that tells.

    Raises ValueError.
    """
    frames: bool | None = None
    beacons: bool | None = None
    for body in bodies:
        for envelope in reversed(unpack(body)):
            if frames is None and envelope.kind == "camera":
                frames = decode_data(envelope, Camera).running
            elif beacons is None and envelope.kind == "wifi":
                beacons = decode_data(envelope, Wifi).up
        if None not in {frames, beacons}:
            break
    return frames, beacons


class Watch(Struct, frozen=True, kw_only=True):
    """How a started release is judged.

    It may not stumble for `soak_s`; it has `patience_s` more to measure again, and to reach a
    broker, take frames and beacon if the release `before` did.
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
        before = self.before
        after = output_of(self.outbox, measured=bool(before and (before.frames or before.beacons)))
        if after is None:
            return
        if after.run == (before.run if before else ""):
            yield "the agent records nothing"
        elif before:
            yield from _lost(before, after)


def _lost(before: Output, after: Output) -> Iterator[str]:
    if before.delivered and not after.delivered:
        yield "the agent reaches no broker, though the last release did"
    if before.frames and not after.frames:
        yield "its camera gives no frames, though it did under the last release"
    if before.beacons and not after.beacons:
        yield "its access point is not up, though it was under the last release"


def _stumbled(first: Pulse, now: Pulse) -> str:
    if not now.active:
        return f"the agent ended: {now.words}"
    if (now.pid, now.restarts) != (first.pid, first.restarts):
        return "the agent crashed and was restarted"
    return ""
