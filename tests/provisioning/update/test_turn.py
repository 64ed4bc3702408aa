"""A node's turn ends as what became of the node, whatever breaks on the way to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec
import pytest
from services.idle_time import IdleTime

from node.install.machine import Outcome, Standing
from provisioning.update import turn as turns
from provisioning.update.bundles import Choice
from provisioning.update.errors import (
    NodeError,
    PlanError,
    PutOffError,
    RefusedError,
    UnreachableError,
)
from provisioning.update.link import Session, Trial
from provisioning.update.plan import Place
from provisioning.update.rollout import Entry
from provisioning.update.turn import (
    check_url,
    look_again,
    prove,
    roll_back_node,
    update_node,
)

OLD, NEW = "a" * 64, "b" * 64
PLACE = Place("pasar-horas")
WELL = Standing(
    status="idle", confirmed=OLD, active=True, restarts=0, delivers=True, frames=True, beacons=True
)
HAS_NEW = msgspec.structs.replace(WELL, confirmed=NEW)


class Answers:
    """A node that answers with one standing after the other, the last for ever."""

    def __init__(self, *standings: Standing, send: Exception | None = None) -> None:
        self.standings = [*standings]
        self.refuses = send
        self.confirmed: list[str] = []
        self.left: list[str] = []
        self.discarded: list[str] = []
        self.back = Outcome(status="rolled-back", confirmed=OLD, changed=True)

    def status(self) -> Standing:
        return self.standings.pop(0) if len(self.standings) > 1 else self.standings[0]

    def send(self, bundle: Path) -> str:
        if self.refuses:
            raise self.refuses
        return str(bundle)

    def discard(self, bundle: str) -> None:
        self.discarded.append(bundle)

    def install(self, bundle: str, release: str, trial: Trial) -> Outcome:
        del bundle, trial
        return Outcome(status="trial", release=release, deadline_seconds=11)

    def confirm(self, release: str) -> Outcome:
        self.confirmed.append(release)
        return Outcome(status="installed", release=release)

    def rollback(self, leaving: str) -> Outcome:
        self.left.append(leaving)
        return self.back

    @contextmanager
    def connect(self, _: Place) -> Iterator[Session]:
        yield self


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> IdleTime:
    clock = IdleTime()
    monkeypatch.setattr(turns, "time", clock)
    return clock


class Shelf:
    """The bundles of a rollout: one for all."""

    def choose(self, _: Standing) -> Choice:
        return Choice(Path("new.bundle"), NEW)


def update(node: Answers) -> Entry:
    return update_node(PLACE, node.connect, turns.Orders(catalog=Shelf()))  # type: ignore[arg-type]


def test_what_works_is_kept_with_a_success(time: IdleTime) -> None:
    trial = msgspec.structs.replace(WELL, status="trial", release=NEW, beacons=None)
    entry = update(Answers(WELL, trial))
    assert (entry.state, entry.changed) == ("success", True)
    assert entry.had == ("delivers", "frames")
    assert time.now_s == 0


@pytest.mark.parametrize(
    ("lost", "words"),
    [("delivers", "reaches no broker"), ("frames", "no frames"), ("beacons", "access point")],
)
def test_a_trial_that_lost_something_is_not_confirmed(
    time: IdleTime, lost: str, words: str
) -> None:
    trial = msgspec.structs.replace(WELL, status="trial", release=NEW, **{lost: False})
    node = Answers(WELL, trial)
    entry = update(node)
    assert (entry.state, node.confirmed) == ("rolled-back", [])
    assert words in entry.message
    assert time.now_s > 0
    # What it never had, it did not lose.
    without = msgspec.structs.replace(WELL, **{lost: False})
    assert update(Answers(without, trial)).state == "success"


@pytest.mark.parametrize("lost", ["delivers", "frames", "beacons"])
def test_a_second_look_finds_what_was_lost_since(time: IdleTime, lost: str) -> None:
    node = Answers(msgspec.structs.replace(HAS_NEW, **{lost: False}))
    ended = Entry("success", changed=True, had=("delivers", "frames", "beacons"))
    found = look_again(PLACE, ended, node.connect, {NEW})
    assert found
    assert found.state == "failed"
    assert time.now_s > 0
    had_less = msgspec.structs.replace(ended, had=())
    assert look_again(PLACE, had_less, node.connect, {NEW}) is None


def test_what_passes_by_itself_ends_no_rollout(time: IdleTime) -> None:
    ended = Entry("success", changed=True, had=("delivers",))
    reconnecting = msgspec.structs.replace(HAS_NEW, delivers=False)
    assert look_again(PLACE, ended, Answers(reconnecting, HAS_NEW).connect, {NEW}) is None
    node, misses = Answers(HAS_NEW), [UnreachableError("timed out")] * 3

    @contextmanager
    def connect(place: Place) -> Iterator[Session]:
        if misses:
            raise misses.pop()
        with node.connect(place) as session:
            yield session

    assert look_again(PLACE, ended, connect, {NEW}) is None
    assert 0 < time.now_s < 60
    gone = look_again(PLACE, ended, partial(_away, UnreachableError("timed out")), {NEW})
    assert gone == Entry("unreachable", "not met again after its update: timed out")
    assert time.now_s > 60


@contextmanager
def _away(error: Exception, _: Place) -> Iterator[Session]:
    raise error
    yield


def test_who_lets_nobody_in_is_no_node_that_was_away() -> None:
    connect = partial(_away, RefusedError("lets nobody in"))
    orders = turns.Orders(catalog=Shelf())  # type: ignore[arg-type]
    refused = Entry("failed", "lets nobody in")
    assert update_node(PLACE, connect, orders) == refused
    assert roll_back_node(PLACE, connect, {NEW}) == refused
    away = partial(_away, UnreachableError("no route"))
    assert update_node(PLACE, away, orders).away
    assert roll_back_node(PLACE, away, {NEW}).away


def test_a_node_that_decided_alone_is_held_to_what_it_had(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Answers(WELL)
    monkeypatch.setattr(node, "install", lambda *_: Outcome(status="installed", changed=True))
    assert update(node).had == ("delivers", "frames", "beacons")


def test_it_has_the_release_and_its_agent_is_dead() -> None:
    entry = update(Answers(msgspec.structs.replace(HAS_NEW, active=False)))
    assert (entry.state, "agent did not run" in entry.message) == ("failed", True)
    assert update(Answers(HAS_NEW)).message == f"has {NEW[:12]} already"


def test_what_breaks_while_it_is_sent_is_said_as_it_is(time: IdleTime) -> None:
    full = update(Answers(WELL, send=NodeError("takes no file: Failure; is its disk full?")))
    assert (full.state, "is its disk full?" in full.message) == ("failed", True)
    gone = update(Answers(WELL, send=UnreachableError("pasar-horas: Socket is closed")))
    assert gone == Entry(
        "unreachable", "lost before it was told anything: pasar-horas: Socket is closed"
    )
    assert time.now_s == 0


def test_only_who_never_answered_was_away() -> None:
    @contextmanager
    def lost_at_the_end(_: Place) -> Iterator[Session]:
        yield Answers(HAS_NEW)
        raise UnreachableError("the broker restarts")

    entry = update_node(PLACE, lost_at_the_end, turns.Orders(catalog=Shelf()))  # type: ignore[arg-type]
    assert entry == Entry("unreachable", "the broker restarts")


def test_an_installer_at_work_is_no_end(time: IdleTime) -> None:
    busy = msgspec.structs.replace(WELL, busy=True, message="flipping")
    entry = update(Answers(busy))
    assert (entry.state, "installer" in entry.message) == ("failed", True)
    # Met in the middle of its work, after the connection broke: waited for, then judged.
    node = Answers(busy, busy, HAS_NEW)
    assert prove(PLACE, NEW, WELL, node.connect, 300, "cut").state == "success"
    on_trial = msgspec.structs.replace(busy, status="trial", release=NEW, message="")
    at_work = Answers(on_trial)
    assert prove(PLACE, NEW, WELL, at_work.connect, 300, "cut").message == "an installer is at work"
    assert at_work.confirmed == []
    stuck = prove(PLACE, NEW, WELL, Answers(busy).connect, 300, "cut")
    assert stuck.state != "success"
    assert time.now_s > 300


def test_what_an_installer_left_half_done_is_settled_by_the_next_order(time: IdleTime) -> None:
    left = msgspec.structs.replace(WELL, busy=True, unfinished=True, message="flipping")
    assert (
        update(Answers(left, msgspec.structs.replace(WELL, status="trial", release=NEW))).state
        == "success"
    )
    assert time.now_s == 0
    node = Answers(msgspec.structs.replace(left, release=NEW))
    assert roll_back_node(PLACE, node.connect, {NEW}).state == "success"
    assert node.left == [NEW]


FLIPPING = msgspec.structs.replace(WELL, release=NEW, busy=True, message="flipping")
TRIAL = msgspec.structs.replace(WELL, status="trial", release=NEW)
HELD = msgspec.structs.replace(WELL, busy=True)


@pytest.mark.parametrize(
    ("standings", "left"),
    [
        ((HELD, HAS_NEW), [NEW]),
        ((FLIPPING, TRIAL), [NEW]),
        ((FLIPPING,), [NEW]),  # its installer was killed amid it: leaving it is taking it back
        ((HELD, WELL), []),
        ((HAS_NEW,), [NEW]),
        ((WELL,), []),
    ],
)
def test_a_rollback_knows_who_is_just_getting_the_release(
    time: IdleTime, standings: tuple[Standing, ...], left: list[str]
) -> None:
    node = Answers(*standings)
    assert roll_back_node(PLACE, node.connect, {NEW}).state == "success"
    assert node.left == left
    assert (time.now_s > 0) == standings[0].busy


def test_what_an_installer_at_work_will_leave_is_not_known(time: IdleTime) -> None:
    entry = roll_back_node(PLACE, Answers(HELD).connect, {NEW})
    assert (entry.state, "installer is at work" in entry.message) == ("failed", True)
    assert time.now_s > 0


def test_where_the_one_before_is_no_better_nobody_says_that_it_is_back(time: IdleTime) -> None:
    crashed = msgspec.structs.replace(HAS_NEW, restarts=3)
    node = Answers(crashed)
    node.back = Outcome(status="reverted", confirmed=NEW, message="it reaches no broker")
    found = look_again(PLACE, Entry("success", changed=True), node.connect, {NEW})
    why = "the one before is no better: it reaches no broker"
    assert found == Entry("failed", f"after its update: its agent crashed 3 times; {why}")
    assert roll_back_node(PLACE, node.connect, {NEW}) == Entry("failed", why)
    # Nor of a trial that somebody confirmed meanwhile.
    trial = msgspec.structs.replace(TRIAL, delivers=False)
    lost = prove(PLACE, NEW, WELL, answering(node, trial).connect, 20, "")
    assert (lost.state, lost.message.endswith(why)) == ("failed", True)
    assert time.now_s > 0


def answering(node: Answers, standing: Standing) -> Answers:
    node.standings = [standing]
    return node


@pytest.mark.parametrize("url", ["https://h/{name}", "https://h/{", "https://h/{}", "{file}}"])
def test_an_address_has_one_place(url: str) -> None:
    with pytest.raises(PlanError, match="--url"):
        check_url(url)
    address = turns.address_of(Path("/b/a (1).bundle"), check_url("https://h/{file}"))
    assert address == "https://h/a%20%281%29.bundle"


@pytest.mark.parametrize("url", ["", "https://hub/{file}"])
def test_what_was_sent_to_a_node_that_is_put_off_is_taken_away(url: str) -> None:
    def put_off(*_: str) -> None:
        raise PutOffError("put off before it was told anything: too many nodes failed")

    node = Answers(WELL)
    orders = turns.Orders(catalog=Shelf(), telling=put_off, url=url)  # type: ignore[arg-type]
    entry = update_node(PLACE, node.connect, orders)
    assert (entry.state, "too many" in entry.message) == ("pending", True)
    assert node.discarded == ([] if url else ["new.bundle"])
