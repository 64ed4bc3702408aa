"""Carries a rollout out: begins nodes as the plan allows, records each end, and stops in time."""

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from provisioning.update.errors import RecordError
from provisioning.update.plan import Place, Plan
from provisioning.update.record import Record
from provisioning.update.rollout import (
    Entry,
    Limits,
    bench_is_missed,
    cancelled,
    current_wave,
    is_over,
    not_met_again,
    startable,
    too_many_failures,
)

_LOOK_S = 0.5
Wish = Literal["", "pause", "abort"]


def as_wish(text: str) -> Wish:
    """Return the wish that the text is; anything unknown is none."""
    return text if text in {"pause", "abort"} else ""  # type: ignore[return-value]


class Control(Struct, frozen=True):
    """What the operator wishes, left beside the record by another program."""

    file: Path

    def wish(self) -> Wish:
        """Return the latest wish; anything unknown is none."""
        try:
            text = self.file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return ""
        return as_wish(text)

    def set(self, wish: Wish) -> None:
        """Leave a wish. Raises RecordError."""
        try:
            self.file.write_text(wish, encoding="utf-8")
        except OSError as error:
            raise RecordError(f"{self.file}: {error.strerror}") from error


def control_of(record: Path) -> Control:
    """Return where wishes for the rollout in the file `record` are left."""
    return Control(record.with_name(f"{record.name}.wish"))


class Gate(Struct, frozen=True, kw_only=True):
    """What stands between two waves: time to show what a release does later, and a second look.

    `look` returns how a node that was updated and ended so stands when it is not well any more,
    else None. The clock is a port, so that hours can be tested.
    """

    look: Callable[[Place, Entry], Entry | None]
    soak_s: float = 0.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Around(Struct, frozen=True, kw_only=True):
    """What a run has to do with others: whoever shows it, steers it, and guards its waves.

    `changed` is called after each change. What the operator wishes stands beside the record, unless
    `wish` tells it. Between two waves stands the `gate`, if there is one. A node that was under way
    when the last run died is updated by `take_up`, which is given its entry, and knows how long to
    wait for it. As the run ends, though it be by Ctrl-C, `leaving` is set: whoever waits for guests
    is not waited for.
    """

    changed: Callable[[], None] = lambda: None
    wish: Callable[[], Wish] | None = None
    take_up: Callable[[Place, Entry], Entry] | None = None
    leaving: threading.Event = msgspec.field(default_factory=threading.Event)
    gate: Gate | None = None


class Engine:
    """One run of a rollout. What was under way when the last run died is done again."""

    def __init__(
        self,
        record: Record,
        plan: Plan,
        limits: Limits,
        turn: Callable[[Place], Entry],
        around: Around | None = None,
    ) -> None:
        """`turn` updates a node, in a thread of the pool."""
        around = around or Around()
        self._record = record
        self._plan = plan
        self._limits = limits
        self._turn = turn
        self._take_up = around.take_up or (lambda place, _: turn(place))
        self._changed = around.changed
        self._leaving = around.leaving
        self._wish = around.wish or control_of(record.file).wish
        self._under_way: dict[Future[Entry], Place] = {}
        self._gate = around.gate
        self._passed = 0  # waves that the gate let through; looked at anew after a resumption

    def run(self) -> None:
        """Run until all is done, stopped, aborted or paused. Raises RecordError."""
        entries = self._record.entries
        cut_off = [each for each in self._plan.order if entries[each.name].state == "in-progress"]
        for name, entry in entries.items():
            if entry.away:
                self._set(name, Entry())
        with ThreadPoolExecutor(max_workers=self._limits.parallel) as pool:
            try:
                # Before anything else: a node may be on trial, and its time runs.
                self._begin(pool, cut_off, self._go_on)
                self._loop(pool)
            finally:
                self._leaving.set()
                # A node that was begun is seen to its end, whatever happened here.
                self._collect(wait(self._under_way).done)

    def _loop(self, pool: ThreadPoolExecutor) -> None:
        while True:
            wish = self._wish()
            if not wish and self._open(pool):
                self._begin(pool, startable(*self._now()), self._turn)
            if not self._under_way and (wish or (self._open(pool) and is_over(*self._now()))):
                self._end(wish)
                return
            done = wait(self._under_way, timeout=_LOOK_S, return_when=FIRST_COMPLETED).done
            self._collect(done)

    def _begin(
        self,
        pool: ThreadPoolExecutor,
        places: Iterable[Place],
        turn: Callable[[Place], Entry],
    ) -> None:
        for place in places:
            entry = self._record.entries[place.name]
            # The entry of one that was cut off says what it was told, also to the run after this.
            self._set(place.name, entry if entry.state == "in-progress" else Entry("in-progress"))
            self._under_way[pool.submit(turn, place)] = place

    def _go_on(self, place: Place) -> Entry:
        """Return how a node ended that was cut off; whatever it has, it was begun by this rollout.

        So it is looked at again with the others, and being away does not excuse it.
        """
        entry = self._take_up(place, self._record.entries[place.name])
        if entry.away:
            return not_met_again(entry)
        return msgspec.structs.replace(entry, changed=True) if entry.state == "success" else entry

    def _open(self, pool: ThreadPoolExecutor) -> bool:
        """Tell whether the current wave may be begun: the one before was looked at again."""
        wave = current_wave(self._plan, self._record.entries)
        if self._gate is None or wave <= self._passed or self._under_way:
            return self._gate is None or wave <= self._passed
        if not self._soaked(self._gate):
            return False
        ended = ((place, self._record.entries[place.name]) for place in self._plan.order)
        updated = [each for each in ended if each[1].state == "success" and each[1].changed]
        look = self._gate.look
        looks = pool.map(lambda each: look(*each), updated)
        for (place, _), trouble in zip(updated, looks, strict=True):
            if trouble is not None:
                self._set(place.name, trouble)
        self._passed = wave
        return True

    def _soaked(self, gate: Gate) -> bool:
        """Wait as long as a wave is watched; False when the operator wishes something else."""
        end_s = gate.clock() + gate.soak_s
        self._record.note(f"the wave is watched for {gate.soak_s:g} s")
        self._changed()
        while (left_s := end_s - gate.clock()) > 0:
            if self._wish():
                return False
            gate.sleep(min(_LOOK_S, left_s))
        return True

    def _collect(self, done: set[Future[Entry]]) -> None:
        broken: BaseException | None = None
        for future in done:
            place, broken = self._under_way.pop(future), future.exception() or broken
            if future.exception() is None:
                self._set(place.name, future.result())
        if broken:  # it stays in progress; how the others ended is not lost
            raise broken

    def _end(self, wish: Wish) -> None:
        reason = ""
        if wish == "abort":
            reason = "aborted by the operator"
        elif too_many_failures(self._record.entries, self._limits):
            reason = "stopped: too many nodes failed"
        if reason:
            for name, entry in cancelled(self._record.entries, reason).items():
                self._set(name, entry)
        self._record.note(reason or self._held_by(wish) or "done")
        self._changed()

    def _held_by(self, wish: Wish) -> str:
        """Return why nodes are still pending that could have been begun; they can be later."""
        if wish:
            return "paused by the operator"
        if bench_is_missed(self._plan, self._record.entries):
            return "stopped: the bench has not proven it; when its nodes are there again, resume"
        return ""

    def _now(self) -> tuple[Plan, dict[str, Entry], Limits]:
        return self._plan, self._record.entries, self._limits

    def _set(self, name: str, entry: Entry) -> None:
        self._record.set(name, entry)
        self._changed()
