"""A rollout is resumed as it was begun, is alone over its inventory, and obeys what was wished."""

import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from invoke import Exit
from services.mosquitto import Mosquitto, mosquitto_program

from provisioning.inventory import Node
from provisioning.listen import BrokerAccess, listening
from provisioning.register import Register
from provisioning.update import engine
from provisioning.update.air import say_wish, wish_topic
from provisioning.update.engine import Wish, control_of
from provisioning.update.errors import PutOffError, RecordError
from provisioning.update.plan import Place, Plan, make_plan
from provisioning.update.record import Head, Record, read_record
from provisioning.update.rollout import Entry, Limits
from provisioning.update.station import (
    Access,
    Means,
    Run,
    Turns,
    access_to,
    alone,
    roll_out,
    ways_of,
)
from provisioning.update.tasks import leave_wish

NAMES = [f"n{number}" for number in range(8)]
PLAN = make_plan([Place(name) for name in NAMES], seed="x")
LIMITS = Limits(parallel=1, tolerated=1)
DONE = Entry("success", changed=True)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerAccess]:
    if mosquitto_program() is None:
        pytest.skip("mosquitto is not installed")
    with Mosquitto(tmp_path_factory.mktemp("station") / "broker") as broker:
        yield BrokerAccess(url=broker.url)


@pytest.fixture
def access(tmp_path: Path) -> Access:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True
    )
    (tmp_path / "inventory.ini").write_text("[nodes]\n" + "\n".join(NAMES))
    files = (tmp_path / name for name in ("inventory.ini", "register.db", "audit.jsonl", "key"))
    return access_to(*map(str, files), user="root")


class Rollout:
    """One rollout of the fleet; the operator wishes something as the third node is begun."""

    def __init__(self, access: Access, broker: BrokerAccess | None = None) -> None:
        self.file = access.inventory.with_name("record.jsonl")
        self.begun: list[str] = []
        self.taken_up: list[Entry] = []
        self.ends: dict[str, Entry] = {}
        self.wish: Wish = ""
        self._access = access
        self._broker = broker

    def run(self, *, plan: Plan = PLAN, limits: Limits = LIMITS, **options: bool) -> int:
        """Run it; return the exit status."""
        head = Head(releases={"k": "r"}, plan=plan, limits=limits)
        asked = Run(action="update", record=str(self.file), json=True, broker=self._broker)
        run = msgspec.structs.replace(asked, **options)
        try:
            roll_out(head, (), self._access, run, Turns(turn=self.turn, take_up=self.take_up))
        except Exit as ended:
            return int(ended.code)
        return 0

    def take_up(self, place: Place, entry: Entry, means: Means) -> Entry:
        self.taken_up.append(entry)
        return self.turn(place, means)

    def turn(self, place: Place, means: Means) -> Entry:
        self.begun.append(place.name)
        if len(self.begun) == 3 and self.wish and self._broker:
            say_wish(self._broker, self.file, self.wish)
            with pytest.raises(PutOffError):
                means.calm(place.name, 60)  # until it is heard
        elif len(self.begun) == 3 and self.wish:
            control_of(self.file).set(self.wish)
        return self.ends.get(place.name, DONE)

    def states(self) -> set[str]:
        return {entry.state for entry in read_record(self.file).entries.values()}


@pytest.mark.parametrize("wish", ["pause", "abort"])
def test_a_wish_that_was_obeyed_is_gone_though_a_node_failed(
    access: Access, broker: BrokerAccess, wish: Wish
) -> None:
    rollout = Rollout(access, broker)
    rollout.wish, rollout.ends = wish, {PLAN.order[0].name: Entry("failed", "it burnt")}
    assert rollout.run() == 3
    retained: list[bytes] = []
    with listening(
        broker, (), lambda _, wish: retained.append(wish), topics=(wish_topic(rollout.file),)
    ) as say:
        say("simpul/after", b"")  # what is retained has come before this is taken
    assert retained == []
    rollout.run(resume=True)
    assert len(rollout.begun) == (8 if wish == "pause" else 3)


def test_an_abort_that_nobody_heard_is_obeyed_by_the_next_run(access: Access) -> None:
    rollout = Rollout(access)
    rollout.wish = "pause"
    assert rollout.run() == 0
    begun = len(rollout.begun)
    leave_wish(str(rollout.file), access, None, abort=True)
    assert rollout.run(resume=True) == 3
    assert len(rollout.begun) == begun
    assert rollout.states() == {"success", "cancelled"}


def test_a_wish_reaches_a_rollout_that_hears_no_broker(
    access: Access, broker: BrokerAccess, capsys: pytest.CaptureFixture[str]
) -> None:
    rollout = Rollout(access)
    rollout.wish = "pause"
    rollout.run()
    leave_wish(str(rollout.file), access, broker, abort=True)
    assert control_of(rollout.file).wish() == "abort"
    assert capsys.readouterr().out.endswith("nodes under way have ended\n")
    # Of one that runs elsewhere nobody knows here.
    leave_wish(str(rollout.file.with_name("typo.jsonl")), access, broker, abort=True)
    assert "if one runs that was begun with --broker" in capsys.readouterr().out


def test_a_bench_that_is_away_stops_it_and_is_waited_for(access: Access) -> None:
    plan = make_plan([Place(name, bench=name == "n3") for name in NAMES], seed="x")
    rollout = Rollout(access)
    rollout.ends = {"n3": Entry("pending", "offline before", away=True)}
    assert rollout.run(plan=plan) == 3
    assert rollout.begun == ["n3"]
    assert read_record(rollout.file).notes[-1].startswith("stopped: the bench has not proven it")
    rollout.ends = {}
    assert rollout.run(plan=plan, resume=True) == 0
    assert rollout.states() == {"success"}


def test_a_rollout_is_resumed_with_all_its_nodes(access: Access) -> None:
    rollout = Rollout(access)
    rollout.wish = "pause"
    rollout.run()
    fewer = make_plan([Place(name) for name in NAMES[:-1]], seed="x")
    with pytest.raises(RecordError, match=r"is also of n7, .* name the same --nodes again"):
        rollout.run(plan=fewer, resume=True)


def test_whoever_takes_a_node_up_knows_when_it_was_told(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout = Rollout(access)

    def killed(place: Place, means: Means) -> Entry:
        means.telling(place.name, "as it stood before")
        raise ZeroDivisionError

    def killed_again(place: Place, entry: Entry, _: Means) -> Entry:
        assert place == PLAN.order[0]
        raise LookupError(entry.told)

    monkeypatch.setattr(rollout, "turn", killed)
    with pytest.raises(ZeroDivisionError):
        rollout.run()
    monkeypatch.undo()
    monkeypatch.setattr(rollout, "take_up", killed_again)
    with pytest.raises(LookupError):
        rollout.run(resume=True)
    monkeypatch.undo()
    assert rollout.run(resume=True) == 0
    assert rollout.taken_up == [Entry("in-progress", told="as it stood before")]
    assert rollout.states() == {"success"}


def test_two_rollouts_do_not_run_over_one_inventory(access: Access) -> None:
    with alone(access.inventory), pytest.raises(RecordError, match="another rollout runs"):
        Rollout(access).run()
    assert Rollout(access).run() == 0


def test_an_inventory_that_is_saved_anew_is_held_all_the_same(
    access: Access, tmp_path: Path
) -> None:
    with alone(access.inventory):
        (tmp_path / "new").write_text(access.inventory.read_text())
        (tmp_path / "new").rename(access.inventory)  # as editors and git do
        with pytest.raises(RecordError, match="another rollout runs"):
            Rollout(access).run()
        # By whatever name it is called.
        (tmp_path / "link").symlink_to(access.inventory)
        with pytest.raises(RecordError, match="another rollout runs"), alone(tmp_path / "link"):
            pytest.fail("two hold it")


def test_the_plan_that_is_shown_is_the_one_that_is_carried_out(
    access: Access, capsys: pytest.CaptureFixture[str]
) -> None:
    rollout = Rollout(access)
    rollout.wish = "pause"
    rollout.run()
    more = make_plan([Place(name) for name in [*NAMES, "later"]], seed="y")
    assert more.order[0] != PLAN.order[0]
    capsys.readouterr()
    rollout.run(plan=more, resume=True, plan_only=True)
    assert msgspec.json.decode(capsys.readouterr().out, type=Plan) == PLAN
    assert rollout.run(plan=more, resume=True, json=False) == 0
    (first,) = (line for line in capsys.readouterr().out.splitlines() if "1 node" in line)
    assert PLAN.order[0].name in first
    assert rollout.begun == [place.name for place in PLAN.order]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {"plan": make_plan([Place(name, bench=name == "n3") for name in NAMES], seed="x")},
            "--bench nothing, not n3",
        ),
        ({"limits": Limits(parallel=2, tolerated=1)}, "--parallel 1, not 2"),
        ({"limits": Limits(parallel=1, tolerated=5)}, "--tolerate 1, not 5"),
    ],
)
def test_what_would_not_be_obeyed_is_refused(
    access: Access, changed: dict[str, object], words: str
) -> None:
    rollout = Rollout(access)
    rollout.wish = "pause"
    rollout.run()
    with pytest.raises(RecordError, match=f"was begun with {words}; say the same again"):
        rollout.run(resume=True, **changed)  # type: ignore[arg-type]


def test_whoever_interrupts_it_does_not_wait_for_guests(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout = Rollout(access)
    told: list[str] = []

    def turn(place: Place, means: Means) -> Entry:
        with pytest.raises(PutOffError) as put_off:
            means.calm(place.name, 3600)
        told.append(str(put_off.value))
        return Entry("pending", "put off")

    def interrupted(*futures: object, **options: object) -> object:
        monkeypatch.undo()
        signal.raise_signal(signal.SIGINT)  # Ctrl-C, as the first node is waited for
        return engine.wait(*futures, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(rollout, "turn", turn)
    monkeypatch.setattr(engine, "wait", interrupted)
    # Not everybody who starts the tests leaves them the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            rollout.run()
    finally:
        signal.signal(signal.SIGINT, before)
    assert told == ["put off while guests were connected: pause"]
    assert rollout.states() == {"pending"}


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("", "n0", 22),
        ("pole.lan", "pole.lan", 22),
        ("192.0.2.9:2222", "192.0.2.9", 2222),
        ("2001:db8::9", "2001:db8::9", 22),
        ("[2001:db8::9]:2222", "2001:db8::9", 2222),
    ],
)
def test_a_node_is_reached_where_the_inventory_says(
    access: Access, address: str, host: str, port: int
) -> None:
    Register(access.register).record_host_key("n0", "ssh-ed25519 AAAA", "confirmed")
    way = ways_of([Node(name="n0", address=address)], access)["n0"]
    assert (way.host, way.port) == (host, port)


def told_nothing(place: Place, means: Means) -> Entry:
    try:
        means.telling(place.name, "a mark")
    except PutOffError as error:
        return Entry("pending", str(error))
    return DONE


@pytest.mark.parametrize("wish", ["", "abort"])
def test_one_that_was_cut_off_before_it_was_told_is_told_nothing_once_it_is_stopped(
    access: Access, wish: Wish
) -> None:
    """The laptop died while the bundle was sent to the second node, and the first one failed."""
    file = access.inventory.with_name("record.jsonl")
    head = Head(releases={"k": "r"}, plan=PLAN, limits=Limits(parallel=1))
    first, second = PLAN.order[:2]
    with Record(file) as record:
        record.begin(head)
        record.set(first.name, Entry("success" if wish else "failed"))
        record.set(second.name, Entry("in-progress"))
    control_of(file).set(wish)
    turns = Turns(
        turn=lambda place, _: pytest.fail(f"{place.name} was begun"),
        take_up=lambda place, _, means: told_nothing(place, means),
    )
    run = Run(action="update", record=str(file), json=True, resume=True)
    with pytest.raises(Exit):
        roll_out(head, (), access, run, turns)
    assert read_record(file).entries[second.name].state == "cancelled"


def test_whoever_waits_for_guests_is_told_nothing_once_too_many_failed(access: Access) -> None:
    plan = make_plan([Place(name) for name in NAMES], seed="x", shares=())
    last = plan.order[-1].name
    waiting = threading.Event()

    def turn(place: Place, means: Means) -> Entry:
        if place == plan.order[0]:
            return DONE
        if place.name != last:
            return Entry("failed") if waiting.wait(30) else DONE
        waiting.set()
        with pytest.raises(PutOffError, match="too many nodes failed"):
            means.calm(place.name, 60)
        return told_nothing(place, means)

    file = access.inventory.with_name("record.jsonl")
    head = Head(releases={"k": "r"}, plan=plan, limits=Limits(parallel=8))
    run = Run(action="update", record=str(file), json=True)
    with pytest.raises(Exit):
        roll_out(head, (), access, run, Turns(turn=turn, take_up=lambda *_: DONE))
    assert read_record(file).entries[last].state == "cancelled"
