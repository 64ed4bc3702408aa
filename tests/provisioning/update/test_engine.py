"""The engine begins nodes within its bounds, obeys the operator, and goes on after a kill."""

import itertools
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from services.waiting import until

from provisioning.update.engine import Around, Engine, Gate, control_of
from provisioning.update.plan import Place, Plan, make_plan
from provisioning.update.record import Head, Record
from provisioning.update.rollout import Entry, Limits

FLEET = [Place(f"n{number}", f"s{number // 2}") for number in range(40)]
PLAN = make_plan(FLEET, seed="x")
ROOT = Path(__file__).parents[3]


def head(plan: Plan = PLAN, parallel: int = 8) -> Head:
    return Head(releases={"x/3.11": "ab" * 32}, plan=plan, limits=Limits(parallel=parallel))


def run(file: Path, turn: "Turn", *, parallel: int = 8) -> dict[str, Entry]:
    with Record(file) as record:
        if record.head is None:
            record.begin(head(parallel=parallel))
        Engine(record, PLAN, record.begun().limits, turn).run()
        return dict(record.entries)


class Turn:
    """Counts who is under way; ends as told."""

    def __init__(self, ends: dict[str, Entry] | None = None) -> None:
        self.ends = ends or {}
        self.begun: list[str] = []
        self.most = 0
        self._under_way: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, place: Place) -> Entry:
        with self._lock:
            assert place.site not in self._under_way, "two neighbours at once"
            self._under_way.add(place.site)
            self.begun.append(place.name)
            self.most = max(self.most, len(self._under_way))
        threading.Event().wait(0.01)
        with self._lock:
            self._under_way.remove(place.site)
        return self.ends.get(place.name, Entry("success", changed=True))


def test_all_are_updated_once_and_few_at_a_time(tmp_path: Path) -> None:
    turn = Turn()
    entries = run(tmp_path / "r", turn)
    assert {entry.state for entry in entries.values()} == {"success"}
    assert sorted(turn.begun) == sorted(place.name for place in FLEET)
    assert 1 < turn.most <= 8


def test_a_bad_release_stays_with_the_canary(tmp_path: Path) -> None:
    turn = Turn(dict.fromkeys((place.name for place in FLEET), Entry("rolled-back", "crashed")))
    entries = run(tmp_path / "r", turn)
    assert len(turn.begun) == 1
    counts = Counter(entry.state for entry in entries.values())
    assert counts == {"rolled-back": 1, "cancelled": 39}


def test_one_that_vanishes_later_stops_the_rest(tmp_path: Path) -> None:
    victim = PLAN.order[5].name
    turn = Turn({victim: Entry("unreachable", "not met again")})
    entries = run(tmp_path / "r", turn)
    assert entries[victim].state == "unreachable"
    # It was in the wave of a quarter of the fleet.
    assert len(turn.begun) <= 10
    assert sum(entry.state == "cancelled" for entry in entries.values()) >= 30


def test_those_who_were_away_are_met_by_a_later_run(tmp_path: Path) -> None:
    away = {place.name: Entry("pending", "offline before", away=True) for place in FLEET[:4]}
    entries = run(tmp_path / "r", Turn(away))
    assert sum(entry.state == "success" for entry in entries.values()) == 36
    later = Turn()
    entries = run(tmp_path / "r", later)
    assert sorted(later.begun) == sorted(away)
    assert {entry.state for entry in entries.values()} == {"success"}


def test_who_was_cut_off_comes_before_any_second_look(tmp_path: Path) -> None:
    """A node on trial takes its release back in the end, however long the look at others takes."""
    said: list[str] = []
    done, cut_off = PLAN.order[0], PLAN.order[1]

    def turn(place: Place) -> Entry:
        said.append(place.name)
        return Entry("success", changed=True)

    def look(place: Place, _: Entry) -> None:
        said.append(f"look {place.name}")

    with Record(tmp_path / "r") as record:
        record.begin(head())
        record.set(done.name, Entry("success", changed=True))
        record.set(cut_off.name, Entry("in-progress"))
    with Record(tmp_path / "r") as record:
        Engine(record, PLAN, record.begun().limits, turn, Around(gate=Gate(look=look))).run()
        assert {entry.state for entry in record.entries.values()} == {"success"}
    assert said[:2] == [cut_off.name, f"look {done.name}"]


def test_who_was_cut_off_is_looked_at_again_as_well(tmp_path: Path) -> None:
    """Its release was confirmed, and the controller killed before it wrote that down."""
    canary = PLAN.order[0]
    with Record(tmp_path / "r") as record:
        record.begin(head())
        record.set(canary.name, Entry("in-progress"))
    turn = Turn({canary.name: Entry("success", "has it already")})
    broken = Entry("rolled-back", "after its update: its agent crashed 3 times")
    entries = gated(tmp_path / "r", turn, lambda *_: broken, Hours(), 0)
    assert turn.begun == [canary.name]
    assert Counter(entry.state for entry in entries.values()) == {"rolled-back": 1, "cancelled": 39}


def test_killed_again_as_it_resumes_it_still_knows_who_was_cut_off(tmp_path: Path) -> None:
    cut_off = PLAN.order[7]

    def killed() -> None:
        raise KeyboardInterrupt

    with Record(tmp_path / "r") as record:
        record.begin(head())
        record.set(cut_off.name, Entry("in-progress"))
        record.set(PLAN.order[0].name, Entry("pending", "offline before", away=True))
    with Record(tmp_path / "r") as record, pytest.raises(KeyboardInterrupt):
        Engine(record, PLAN, Limits(), Turn(), Around(changed=killed)).run()
    turn = Turn()
    run(tmp_path / "r", turn, parallel=1)
    assert turn.begun[0] == cut_off.name


def test_one_that_breaks_the_program_costs_no_other_nodes_end(tmp_path: Path) -> None:
    def turn(place: Place) -> Entry:
        if place == PLAN.order[1]:
            raise ZeroDivisionError
        return Entry("success", changed=True)

    with Record(tmp_path / "r") as record:
        record.begin(head())
        engine = Engine(record, PLAN, Limits(parallel=2), turn)
        with pytest.raises(ZeroDivisionError):
            engine.run()
    with Record(tmp_path / "r") as record:
        counts = Counter(entry.state for entry in record.entries.values())
        assert counts["in-progress"] == 1
        assert record.entries[PLAN.order[1].name].state == "in-progress"
        assert counts["success"] >= 1


@pytest.mark.parametrize("wish", ["pause", "abort"])
def test_the_operator_pauses_or_ends_it(tmp_path: Path, wish: str) -> None:
    file = tmp_path / "r"

    def turn(place: Place) -> Entry:
        if place == PLAN.order[3]:
            control_of(file).set(wish)  # type: ignore[arg-type]
        return Entry("success")

    entries = run(file, turn)  # type: ignore[arg-type]
    counts = Counter(entry.state for entry in entries.values())
    assert 4 <= counts["success"] < 20
    assert counts["pending" if wish == "pause" else "cancelled"] == 40 - counts["success"]
    control_of(file).set("")
    entries = run(file, Turn())
    assert (Counter(e.state for e in entries.values())["success"] == 40) == (wish == "pause")


class Hours:
    """A clock on which nobody really waits."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def gated(
    file: Path,
    turn: "Turn",
    look: Callable[[Place, Entry], Entry | None],
    clock: Hours,
    soak_s: float,
) -> dict[str, Entry]:
    gate = Gate(look=look, soak_s=soak_s, clock=lambda: clock.now_s, sleep=clock.sleep)
    with Record(file) as record:
        if record.head is None:
            record.begin(head())
        Engine(record, PLAN, record.begun().limits, turn, Around(gate=gate)).run()
        return dict(record.entries)


def test_a_release_that_breaks_an_hour_later_stays_with_the_canary(tmp_path: Path) -> None:
    clock, turn = Hours(), Turn()
    broken = Entry("rolled-back", "after its update: its agent crashed 1 times")
    entries = gated(
        tmp_path / "r", turn, lambda *_: broken if clock.now_s >= 3600 else None, clock, 2 * 3600
    )
    assert len(turn.begun) == 1
    assert Counter(entry.state for entry in entries.values()) == {"rolled-back": 1, "cancelled": 39}


def test_time_that_passes_between_two_readings_of_the_clock_ends_nothing(tmp_path: Path) -> None:
    clock, turn = Hours(), Turn()
    ticks = itertools.count()

    def sleep(seconds: float) -> None:
        assert seconds >= 0
        clock.sleep(seconds)

    gate = Gate(
        look=lambda *_: None,
        soak_s=0.4,
        clock=lambda: clock.now_s + next(ticks) * 0.3,
        sleep=sleep,
    )
    with Record(tmp_path / "r") as record:
        record.begin(head())
        Engine(record, PLAN, record.begun().limits, turn, Around(gate=gate)).run()
        assert {entry.state for entry in record.entries.values()} == {"success"}


def test_every_wave_is_looked_at_again_before_the_next(tmp_path: Path) -> None:
    clock, turn = Hours(), Turn()
    looks: list[tuple[float, str]] = []

    def look(place: Place, _: Entry) -> None:
        looks.append((clock.now_s, place.name))

    entries = gated(tmp_path / "r", turn, look, clock, 600)
    assert {entry.state for entry in entries.values()} == {"success"}
    # 1 node, 5 %, 25 % (1 % of 40 is one node as well): three gates, ten minutes each.
    counts = Counter(round(at_s) for at_s, _ in looks)
    assert counts == {600: 1, 1200: 2, 1800: 10}


def test_the_operator_does_not_wait_for_a_gate(tmp_path: Path) -> None:
    file, clock, turn = tmp_path / "r", Hours(), Turn()
    control_of(file).set("")
    sleep = clock.sleep

    def pausing(seconds: float) -> None:
        sleep(seconds)
        if clock.now_s > 60:
            control_of(file).set("pause")

    clock.sleep = pausing  # type: ignore[method-assign]
    entries = gated(file, turn, lambda *_: None, clock, 3600)
    assert clock.now_s < 70
    assert Counter(entry.state for entry in entries.values()) == {"success": 1, "pending": 39}
    # Resumed, the gate stands there again.
    control_of(file).set("")
    clock.sleep = sleep  # type: ignore[method-assign]
    entries = gated(file, turn, lambda *_: None, clock, 10)
    assert {entry.state for entry in entries.values()} == {"success"}


# The controller of the test below: its turns are noted in a file of their own.
PROGRAM = """
import os, sys, time
from pathlib import Path
from provisioning.update.engine import Engine
from provisioning.update.record import Record
from provisioning.update.rollout import Entry
log = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def turn(place):
    os.write(log, f"{place.name}\\n".encode())
    time.sleep(0.02)
    Path(sys.argv[3], place.name).touch()
    return Entry("success", changed=True)
with Record(Path(sys.argv[1])) as record:
    head = record.begun()
    print("running", flush=True)
    Engine(record, head.plan, head.limits, turn).run()
print("done", flush=True)
"""


def test_a_controller_killed_at_random_moments_forgets_nobody(tmp_path: Path) -> None:
    file, log, nodes = tmp_path / "r", tmp_path / "log", tmp_path / "nodes"
    nodes.mkdir()
    with Record(file) as record:
        record.begin(head(parallel=3))
    draw = random.Random(4)  # noqa: S311 - repeatable, no secret
    command = [sys.executable, "-c", PROGRAM, str(file), str(log), str(nodes)]
    kills = 0
    while True:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert process.stdout
        assert process.stdout.readline() == "running\n"
        goal = count(log) + draw.randint(1, 8)
        until(lambda p=process, g=goal: p.poll() is not None or count(log) >= g, "turns")  # type: ignore[misc]
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
        if process.returncode == 0:
            break
        assert kills < 100
    assert kills >= 4
    with Record(file) as record:
        assert {entry.state for entry in record.entries.values()} == {"success"}
    assert {node.name for node in nodes.iterdir()} == {place.name for place in FLEET}
    # Asked again are only those that were under way when it was killed.
    assert count(log) <= len(FLEET) + kills * 3


def count(log: Path) -> int:
    return log.read_text().count("\n") if log.exists() else 0
