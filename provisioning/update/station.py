"""Sets a rollout up at the station, from inventory, register and options, and shows it run."""

import fcntl
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from invoke import Exit
from msgspec import Struct
from rich.console import Console
from rich.live import Live

from provisioning import inventory as inventories
from provisioning.audit.keys import operator_key
from provisioning.audit.log import AuditLog
from provisioning.inventory import Node
from provisioning.listen import BrokerAccess
from provisioning.register import Register
from provisioning.update.air import Air, on_air
from provisioning.update.engine import Around, Engine, Gate, Wish, control_of
from provisioning.update.errors import PlanError, PutOffError, RecordError, UnreachableError
from provisioning.update.link import SSH_PORT, Session, Way, connected
from provisioning.update.notices import noticing
from provisioning.update.plan import Place, Plan
from provisioning.update.record import Head, Record, Told, read_record
from provisioning.update.rollout import FAILURES, Entry, bench_is_missed, too_many_failures
from provisioning.update.show import live_view, plan_table, summary_of
from provisioning.update.turn import Connect

FOLDER = Path("rollouts")
Calm = Callable[[str, float], str]
"""Waits so many seconds until a node has no guests; returns what is to be told when it has."""
Telling = Callable[[str, str], None]
"""Writes down that a node is told now, and the mark that it has before (see Entry).

Raises PutOffError when the rollout was stopped or held since the node was begun.
"""
_EXIT_STOPPED = 3
_DIGITS = 12


class Access(Struct, frozen=True, kw_only=True):
    """Where nodes and their host keys are listed, and as whom they are entered."""

    inventory: Path
    register: Path
    audit: Path
    identity: str = ""
    user: str = "root"

    def log(self) -> AuditLog:
        """Return the audit log, to be signed with the key that opens the nodes."""
        who = Register(self.register).who
        return AuditLog(self.audit, operator_key(self.identity), who)


def access_to(inventory: str, register: str, audit: str, identity: str, user: str) -> Access:
    """Return the access that the options of a command line name."""
    return Access(
        inventory=Path(inventory),
        register=Path(register),
        audit=Path(audit),
        identity=identity,
        user=user,
    )


class Run(Struct, frozen=True, kw_only=True):
    """What the rollout is called, which file keeps it, and how it is shown."""

    action: str
    record: str = ""
    resume: bool = False
    plan_only: bool = False
    json: bool = False
    wave_soak_s: float = 0.0
    broker: BrokerAccess | None = None
    """Where wishes and guests are heard besides; None: nowhere."""
    pull: bool = False
    """Nodes are spoken to by notices at that broker, not over SSH."""


class Means(Struct, frozen=True, kw_only=True):
    """What the station lends to the turn of a node."""

    connect: Connect
    calm: Calm
    telling: Telling


class Turns(Struct, frozen=True, kw_only=True):
    """What is done at a node: its turn, what goes on with one that was cut off, and a second look.

    Without a `look` nodes are not looked at again between the waves.
    """

    turn: Callable[[Place, Means], Entry]
    take_up: Callable[[Place, Entry, Means], Entry]
    look: Callable[[Place, Entry, Connect], Entry | None] | None = None


def roll_out(head: Head, chosen: Sequence[Node], access: Access, run: Run, turns: Turns) -> None:
    """Carry `head` out with `turns` for each of the `chosen` nodes, or print its plan only.

    Raises PlanError, RecordError, UnreachableError; Exit with status 3 when it had to be stopped.

    One rollout at a time over an inventory: two of them know nothing of each other's neighbours.
    """
    if run.plan_only:
        begun = _same(read_record(_record_file(run)), head) if run.resume else head
        _show_plan(begun.plan, json=run.json)
        return
    log = access.log()
    with (
        alone(access.inventory),
        _way_in(chosen, access, run) as connect,
        Record(_record_file(run)) as record,
    ):
        if run.resume:
            head = _same(record, head)
        else:
            record.begin(head)
        if not run.json:
            _show_plan(head.plan, json=False)
        with _audited(log, run.action, record), on_air(run.broker, record.file) as air:
            control = control_of(record.file)
            if not (run.resume and control.wish() == "abort"):  # nobody has obeyed that yet
                control.set("")

            leaving = threading.Event()

            def wish() -> Wish:
                return "pause" if leaving.is_set() else air.wish() or control.wish()

            means = _means(connect, record, air, wish)
            look = turns.look
            gate = look and Gate(
                look=lambda place, entry: look(place, entry, connect), soak_s=run.wave_soak_s
            )
            _carry_out(
                record,
                lambda place: turns.turn(place, means),
                Around(
                    wish=wish,
                    gate=gate,
                    take_up=lambda place, entry: turns.take_up(place, entry, means),
                    leaving=leaving,
                ),
                json=run.json,
            )
        if _was_stopped(record):
            raise Exit(code=_EXIT_STOPPED)


def _means(connect: Connect, record: Record, air: Air, wish: Callable[[], Wish]) -> Means:
    """Return the means of turns that tell a node nothing once the rollout is held or stopped."""
    limits = record.begun().limits

    def held() -> str:
        return "too many nodes failed" if too_many_failures(record.entries, limits) else wish()

    def calm(name: str, within_s: float) -> str:
        return air.wait_quiet(name, within_s, held)

    def telling(name: str, mark: str) -> None:
        if why := held():
            raise PutOffError(f"put off before it was told anything: {why}")
        record.set(name, Entry("in-progress", told=mark))

    return Means(connect=connect, calm=calm, telling=telling)


@contextmanager
def alone(inventory: Path) -> Iterator[None]:
    """Hold the inventory for one rollout, until the context or the process ends (flock(2)).

    Raises RecordError when another runs.
    """
    # Not the inventory itself: when it is saved, another file takes its place.
    known = inventory.resolve()
    file = known.parent / FOLDER / f"{known.name}.lock"
    try:
        file.parent.mkdir(exist_ok=True)
        held = os.open(file, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise RecordError(f"{file}: {error.strerror}; it holds the inventory for one") from error
    with ExitStack() as stack:
        stack.callback(os.close, held)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RecordError(
                f"{inventory}: another rollout runs over its nodes; wait until it has ended, or "
                "pause it"
            ) from error
        yield


@contextmanager
def _way_in(chosen: Sequence[Node], access: Access, run: Run) -> Iterator[Connect]:
    """Give what opens a session with a node. Raises UnreachableError, FleetError, PlanError."""
    if not run.pull:
        ways = ways_of(chosen, access)
        yield lambda place: connected(ways[place.name])
        return
    if run.broker is None:
        raise PlanError("--pull gives its notices at the broker; name it with --broker")
    with noticing(run.broker) as notices:

        def session(place: Place) -> AbstractContextManager[Session]:
            return notices.session(place.name)

        yield session


@contextmanager
def _audited(log: AuditLog, action: str, record: Record) -> Iterator[None]:
    """Write down that the rollout is begun, and how it stands when this run of it ends.

    The signed hash of the record's last line vouches for every node's line in it.
    """
    head = record.begun()
    nodes = tuple(sorted(record.entries))
    releases = " ".join(release[:_DIGITS] for release in head.releases.values())
    detail = f"{releases}, record {record.file}"
    log.write(action, nodes, detail=detail)
    try:
        yield
    finally:
        states = summary_of(record).states
        counts = ", ".join(f"{count} {state}" for state, count in states.items() if count)
        log.write(action, nodes, detail=detail, outcome=f"{counts}; record ends {record.end}")


def chosen_nodes(inventory: Path, names: str) -> list[Node]:
    """Return the nodes named, with commas between, or all. Raises InventoryError."""
    known = inventories.nodes(inventory)
    return inventories.find(_words(names), known) if names else known


def places_of(chosen: Sequence[Node], bench: str = "") -> list[Place]:
    """Return the places of nodes, of which `bench` names those on the bench. Raises PlanError."""
    named = {*_words(bench)}
    if unknown := named - {node.name for node in chosen}:
        raise PlanError(f"--bench names {', '.join(sorted(unknown))}, which is not updated here")
    return [Place(node.name, node.site, node.name in named) for node in chosen]


def _carry_out(
    record: Record,
    turn: Callable[[Place], Entry],
    around: Around,
    *,
    json: bool,
) -> None:
    head = record.begun()
    lock = threading.Lock()
    with Live(console=Console(quiet=json), auto_refresh=False) as screen:

        def changed() -> None:
            with lock:
                screen.update(live_view(record), refresh=True)

        around = msgspec.structs.replace(around, changed=changed)
        Engine(record, head.plan, head.limits, turn, around).run()
    summary = summary_of(record)
    if json:
        print(msgspec.json.encode(summary).decode())  # noqa: T201 - the command's answer
    else:
        Console().print(f"{summary.notes[-1]}; record: {record.file}")


def _was_stopped(record: Record) -> bool:
    states = {entry.state for entry in record.entries.values()}
    stopped = bool(states & {*FAILURES, "cancelled"})
    return stopped or bench_is_missed(record.begun().plan, record.entries)


def ways_of(chosen: Sequence[Node], access: Access) -> dict[str, Way]:
    """Return how each of the nodes is reached. Raises UnreachableError for an unknown host key."""
    register = Register(access.register)
    ways = {}
    for node in chosen:
        host, port = inventories.host_and_port(node.address or node.name)
        keys = tuple(register.host_keys(node.name))
        if not keys:
            raise UnreachableError(
                f"{node.name}: no host key of it is known here; enrol it: simpul enrol {node.name}"
            )
        ways[node.name] = Way(
            host=host,
            port=int(port) if port and port.isdecimal() else SSH_PORT,
            user=access.user,
            identity_file=access.identity,
            host_keys=keys,
        )
    return ways


def _record_file(run: Run) -> Path:
    if run.record:
        return Path(run.record)
    if run.resume:
        raise RecordError("which rollout? Name its file with --record")
    return FOLDER / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}.jsonl"


def _same(told: Told, head: Head) -> Head:
    """Return what was begun, as `head` asks for it again. Raises RecordError where it does not."""
    begun, file = told.begun(), told.file
    if begun.releases != head.releases:
        raise RecordError(f"{file}: is the rollout of another release; name its bundles")
    named = {place.name for place in head.plan.order}
    if missing := sorted(told.entries.keys() - named):
        raise RecordError(
            f"{file}: is also of {missing[0]}, which is not among the nodes here; name the "
            "same --nodes again, or begin a new rollout: nodes that have the release are left alone"
        )
    asked = _options(head)
    for option, value in _options(begun).items():
        if value != asked[option]:
            raise RecordError(
                f"{file}: was begun with {option} {value}, not {asked[option]}; say the same "
                "again, or begin a new rollout: nodes that have the release are left alone"
            )
    return begun


def _options(head: Head) -> dict[str, str]:
    """Return the options that a rollout keeps, in words."""
    bench = sorted(place.name for place in head.plan.order if place.bench)
    return {
        "--bench": ",".join(bench) or "nothing",
        "--parallel": str(head.limits.parallel),
        "--tolerate": str(head.limits.tolerated),
    }


def _show_plan(plan: Plan, *, json: bool) -> None:
    if json:
        print(msgspec.json.encode(plan).decode())  # noqa: T201 - the command's answer
        return
    Console().print(plan_table(plan))


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
