"""A node that was under way when a rollout was cut off is waited for, and never excused."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from services.idle_time import IdleTime

from node.install.machine import Outcome, Standing
from provisioning.update import os_turn, turn
from provisioning.update.bundles import Choice
from provisioning.update.engine import Around, Engine
from provisioning.update.errors import UnreachableError
from provisioning.update.link import Session, Trial, Way
from provisioning.update.os_bundle import OsBundle
from provisioning.update.os_turn import OsOrders, System, take_up_system, update_system
from provisioning.update.plan import Place, make_plan
from provisioning.update.record import Head, Record
from provisioning.update.rollout import Entry, Limits
from provisioning.update.turn import Orders, take_up_node, take_up_rollback, update_node

OLD, NEW = "a" * 64, "b" * 64
PLACE = Place("pasar-horas")
HAS_OLD = Standing(status="idle", confirmed=OLD, active=True, restarts=0, delivers=True)
HAS_NEW = msgspec.structs.replace(HAS_OLD, confirmed=NEW)
WENT_BACK = f"{NEW[:16]} was taken back: nobody confirmed it in time"
# Once, in an earlier rollout, and once more.
TOOK_BACK = msgspec.structs.replace(HAS_OLD, message=WENT_BACK, mark="1")
TOOK_BACK_AGAIN = msgspec.structs.replace(TOOK_BACK, mark="2")
FOREVER = 10**9
LOST = "not met again after the rollout was cut off: timed out"


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> IdleTime:
    clock = IdleTime()
    monkeypatch.setattr(turn, "time", clock)
    monkeypatch.setattr(os_turn, "time", clock)
    return clock


class Returning:
    """A node that is away for a while, and then stands as told."""

    def __init__(self, time: IdleTime, away_s: float, standing: Standing) -> None:
        self.standing = standing
        self.installed: list[str] = []
        self._time = time
        self._away_s = away_s

    @contextmanager
    def connect(self, _: Place) -> Iterator[Session]:
        if self._time.now_s < self._away_s:
            raise UnreachableError("timed out")
        yield self

    def status(self) -> Standing:
        return self.standing

    def send(self, bundle: Path) -> str:
        return str(bundle)

    def discard(self, bundle: str) -> None:
        """Keep it: nothing is asked of what is here."""

    def install(self, bundle: str, release: str, trial: Trial) -> Outcome:
        del bundle, trial
        self.installed.append(release)
        return Outcome(status="installed", release=release, changed=True)

    def confirm(self, release: str) -> Outcome:
        return Outcome(status="installed", release=release)

    def rollback(self, leaving: str) -> Outcome:
        del leaving
        return Outcome(status="rolled-back", confirmed=OLD, changed=True)


class Shelf:
    """The bundles of a rollout: one for all."""

    def choose(self, _: Standing) -> Choice:
        return Choice(Path("new.bundle"), NEW)


ORDERS = Orders(catalog=Shelf())  # type: ignore[arg-type]


def test_a_canary_that_died_stops_the_rollout_that_is_resumed(
    tmp_path: Path, time: IdleTime
) -> None:
    plan = make_plan([Place(f"n{number}", f"s{number // 2}") for number in range(6)], seed="x")
    canary = plan.order[0]
    nodes = {each.name: Returning(time, 0, HAS_OLD) for each in plan.order}
    nodes[canary.name] = Returning(time, FOREVER, HAS_OLD)

    def update(place: Place) -> Entry:
        return update_node(place, nodes[place.name].connect, ORDERS)

    with Record(tmp_path / "r") as record:
        record.begin(Head(releases={"x": NEW}, plan=plan, limits=Limits()))
        record.set(canary.name, Entry("in-progress"))
    with Record(tmp_path / "r") as record:
        Engine(record, plan, Limits(), update).run()
        assert record.entries[canary.name] == Entry("unreachable", LOST)
        counts = Counter(entry.state for entry in record.entries.values())
    assert counts == {"unreachable": 1, "cancelled": 5}
    assert not any(node.installed for node in nodes.values())


def test_whoever_takes_up_a_node_is_asked_instead(tmp_path: Path) -> None:
    plan = make_plan([Place("n0"), Place("n1")], seed="x")
    first, second = plan.order
    taken_up: list[Place] = []

    def take_up(place: Place, _: Entry) -> Entry:
        taken_up.append(place)
        return Entry("success")

    with Record(tmp_path / "r") as record:
        record.begin(Head(releases={"x": NEW}, plan=plan, limits=Limits()))
        record.set(first.name, Entry("in-progress"))
        around = Around(take_up=take_up)
        Engine(record, plan, Limits(), lambda _: Entry("success"), around).run()
        assert (taken_up, record.entries[first.name].changed) == ([first], True)
        assert record.entries[second.name] == Entry("success")


def test_it_is_waited_for_until_it_has_gone_back_by_itself(time: IdleTime) -> None:
    node = Returning(time, 300, TOOK_BACK_AGAIN)
    assert take_up_node(PLACE, node.connect, ORDERS, "1") == Entry("rolled-back", WENT_BACK)
    assert (node.installed, time.now_s >= 300) == ([], True)


def test_met_at_once_it_is_not_given_again_what_it_took_back(time: IdleTime) -> None:
    node = Returning(time, 0, TOOK_BACK_AGAIN)
    assert take_up_node(PLACE, node.connect, ORDERS, "1").state == "rolled-back"
    # A rollout that never began it tries: what was wrong may have been mended.
    assert update_node(PLACE, node.connect, ORDERS).state == "success"


def test_of_a_node_whose_installer_shows_no_mark_the_worse_is_taken(time: IdleTime) -> None:
    node = Returning(time, 0, msgspec.structs.replace(TOOK_BACK, mark=""))
    assert take_up_node(PLACE, node.connect, ORDERS, "") == Entry("rolled-back", WENT_BACK)
    assert take_up_node(PLACE, node.connect, ORDERS, None).state == "success"


@pytest.mark.parametrize(
    ("killed", "state"),
    [("before it was told", "success"), ("unheard", "success"), ("heard", "rolled-back")],
)
def test_only_what_was_taken_back_since_it_was_told_counts(
    tmp_path: Path, time: IdleTime, killed: str, state: str
) -> None:
    """The node had gone back from this release days ago, and said so in the same words."""
    node, plan = Returning(time, 0, TOOK_BACK), make_plan([PLACE], seed="x")

    def die(*_: object) -> str:
        node.standing = TOOK_BACK_AGAIN if killed == "heard" else TOOK_BACK
        raise ZeroDivisionError

    def run(orders: Orders) -> Entry:
        with Record(tmp_path / "r") as record:
            if record.head is None:
                record.begin(Head(releases={"x": NEW}, plan=plan, limits=Limits()))

            def telling(name: str, mark: str) -> None:
                record.set(name, Entry("in-progress", told=mark))

            orders = msgspec.structs.replace(orders, telling=telling)
            around = Around(
                take_up=lambda place, entry: take_up_node(place, node.connect, orders, entry.told)
            )
            Engine(
                record, plan, Limits(), lambda each: update_node(each, node.connect, orders), around
            ).run()
            return record.entries[PLACE.name]

    install, status = node.install, node.status
    if killed == "before it was told":
        with pytest.raises(ZeroDivisionError):
            run(msgspec.structs.replace(ORDERS, quiet=die))
    else:
        node.install = die  # type: ignore[assignment,method-assign]
        with pytest.raises(ZeroDivisionError):
            run(ORDERS)
    # Resumed, it is killed once more before it has looked.
    node.install, node.status = install, die  # type: ignore[assignment,method-assign]
    with pytest.raises(ZeroDivisionError):
        run(ORDERS)
    node.status = status  # type: ignore[method-assign]
    assert run(ORDERS).state == state
    assert node.installed == ([] if state == "rolled-back" else [NEW])


@pytest.mark.parametrize("standing", [HAS_OLD, HAS_NEW], ids=["was told nothing", "has it"])
def test_one_that_returns_goes_on(time: IdleTime, standing: Standing) -> None:
    node = Returning(time, 100, standing)
    assert take_up_node(PLACE, node.connect, ORDERS, "1").state == "success"
    assert node.installed == ([NEW] if standing == HAS_OLD else [])


def test_one_that_never_returns_is_a_failure(time: IdleTime) -> None:
    node = Returning(time, FOREVER, HAS_OLD)
    within_s = ORDERS.trial.confirm_within_s
    assert take_up_node(PLACE, node.connect, ORDERS, None) == Entry("unreachable", LOST)
    assert time.now_s > within_s
    assert take_up_rollback(PLACE, node.connect, {NEW}) == Entry("unreachable", LOST)


def test_a_rollback_that_was_cut_off_is_taken_up(time: IdleTime) -> None:
    assert take_up_rollback(PLACE, Returning(time, 60, HAS_NEW).connect, {NEW}).state == "success"


SYSTEM = System("1.1.0", "boot 5", on_trial=False, agent="active")
OS_ORDERS = OsOrders(bundle=OsBundle(Path("x.raucb"), "1.2.0"))


class Booting:
    """A node that is away for a while, and boots into the system that it is given."""

    def __init__(self, time: IdleTime, monkeypatch: pytest.MonkeyPatch) -> None:
        self.system = SYSTEM
        self.away_s = 0.0
        self.given: list[str] = []
        self._time = time
        monkeypatch.setattr(os_turn, "opened", self._opened)
        monkeypatch.setattr(os_turn, "look_at", lambda _: self.system)
        monkeypatch.setattr(os_turn, "_send", lambda *_: "sent")
        monkeypatch.setattr(os_turn, "_order", self._order)
        monkeypatch.setattr(os_turn, "_forget", lambda _: None)

    @contextmanager
    def _opened(self, _: Way) -> Iterator[None]:
        if self._time.now_s < self.away_s:
            raise UnreachableError("timed out")
        yield

    def _order(self, _: object, source: str) -> None:
        self.given.append(source)
        self.system = System("1.2.0", "boot 6", on_trial=False, agent="active")

    def take_up(self, told: str | None) -> Entry:
        return take_up_system("n0", Way(host="n0"), OS_ORDERS, told)


@pytest.fixture
def booting(time: IdleTime, monkeypatch: pytest.MonkeyPatch) -> Booting:
    return Booting(time, monkeypatch)


@pytest.mark.parametrize(
    ("away_s", "version", "state"),
    [
        (0, "1.1.0", "rolled-back"),
        (600, "1.2.0", "success"),
        (600, "1.1.0", "rolled-back"),
        (FOREVER, "1.1.0", "unreachable"),
    ],
)
def test_a_system_that_was_cut_off_is_waited_for(
    booting: Booting, away_s: float, version: str, state: str
) -> None:
    booting.away_s = away_s
    booting.system = msgspec.structs.replace(SYSTEM, version=version)
    entry = booting.take_up("boot 4")
    assert (entry.state, booting.given) == (state, []), entry
    if away_s == FOREVER:
        assert entry.message == LOST


@pytest.mark.parametrize("away_s", [0, 600])
@pytest.mark.parametrize("told", [None, "boot 5"], ids=["untold", "unheard"])
def test_a_system_that_did_not_boot_since_it_was_told_did_not_fail(
    booting: Booting, away_s: float, told: str | None
) -> None:
    booting.away_s = away_s
    assert booting.take_up(told).state == "success"
    assert booting.given == ["sent"]


def test_how_a_system_stood_is_written_down_before_it_is_told(booting: Booting) -> None:
    told: list[tuple[str, str, int]] = []
    orders = msgspec.structs.replace(
        OS_ORDERS, telling=lambda node, mark: told.append((node, mark, len(booting.given)))
    )
    assert update_system("n0", Way(host="n0"), orders).state == "success"
    assert told == [("n0", "boot 5", 0)]


def test_a_system_that_is_met_at_once_is_taken_up_where_it_stands(
    booting: Booting, time: IdleTime
) -> None:
    booting.system = msgspec.structs.replace(SYSTEM, version="1.2.0")
    assert booting.take_up("boot 4") == Entry("success", "has 1.2.0 already")
    assert time.now_s == 0
