"""The task `simpul update`; hands over to the modules that do the work."""

import getpass
import tempfile
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from fabric import task
from invoke import Context, Exit
from rich.console import Console
from rich.live import Live

from provisioning import inventory as inventories
from provisioning.inventory import INVENTORY_FILE, Node
from provisioning.register import REGISTER_FILE, Register
from provisioning.update.bundles import Catalog
from provisioning.update.engine import Engine, control_of
from provisioning.update.errors import PlanError, RecordError, UnreachableError
from provisioning.update.link import SSH_PORT, FabricSession, Trial, Way, connected
from provisioning.update.plan import Place, make_plan
from provisioning.update.record import Head, Record
from provisioning.update.rollout import Entry, Limits
from provisioning.update.show import live_view, plan_table, summary_of
from provisioning.update.turn import Orders, update_node

_FOLDER = Path("rollouts")
_EXIT_STOPPED = 3
_HELP = {
    "bundle": "The release, one bundle for each kind of node.",
    "base": "A bundle that nodes may have already: those are sent the difference; repeatable.",
    "nodes": "Only these, with commas between; else all of the inventory.",
    "bench": "Those of them that stand on the bench and come first, with commas between.",
    "parallel": "How many nodes are under way at once.",
    "tolerate": "How many failures do not stop the rollout.",
    "confirm-within": "Seconds after which a node takes an unconfirmed release back.",
    "soak": "Seconds for which a node watches a new release before anybody else does.",
    "url": "Let nodes fetch it there by themselves; {file} stands for the bundle's name.",
    "inventory": f"Else {INVENTORY_FILE}.",
    "register": f"The host keys of the nodes; else {REGISTER_FILE}.",
    "identity": "Your SSH key; its certificate (-cert.pub) lies beside it. Else your agent's.",
    "user": "As whom the nodes are entered; it must be one who may install.",
    "record": f"File of the rollout; else a new one in {_FOLDER}/.",
    "resume": "Go on with the rollout of --record: pending nodes again, and what was cut off.",
    "pause": "Let the rollout of --record begin no more nodes; it can be resumed.",
    "abort": "Let the rollout of --record end where it is, for good.",
    "plan": "Print the plan, and do nothing.",
    "json": "Print JSON.",
}


@task(positional=["bundle"], iterable=["bundle", "base"], help=_HELP)
def update(  # noqa: PLR0913, PLR0917 - the options of a command line
    _context: Context,
    bundle: Sequence[str] | None = None,
    base: Sequence[str] | None = None,
    nodes: str = "",
    bench: str = "",
    parallel: int = 16,
    tolerate: int = 0,
    confirm_within: float = 300.0,
    soak: float = 20.0,
    url: str = "",
    inventory: str = str(INVENTORY_FILE),
    register: str = str(REGISTER_FILE),
    identity: str = "",
    user: str = "root",
    record: str = "",
    resume: bool = False,  # noqa: FBT001, FBT002 - an option of the command line
    pause: bool = False,  # noqa: FBT001, FBT002 - as above
    abort: bool = False,  # noqa: FBT001, FBT002 - as above
    plan: bool = False,  # noqa: FBT001, FBT002 - as above
    json: bool = False,  # noqa: FBT001, FBT002 - as above
) -> None:
    """Roll a release out, a few nodes first; exit 3 when it had to be stopped."""
    if pause or abort:
        _leave_wish(record, abort=abort)
        return
    chosen = _chosen(Path(inventory), nodes)
    limits = Limits(parallel=parallel, tolerated=tolerate)
    with tempfile.TemporaryDirectory() as room:
        catalog = Catalog([*map(Path, bundle or ())], [*map(Path, base or ())], Path(room))
        head = Head(
            releases=catalog.releases,
            plan=make_plan(_places(chosen, bench), seed=min(catalog.releases.values())),
            limits=limits,
            who=getpass.getuser(),
        )
        if plan:
            _show_plan(head, json=json)
            return
        ways = _ways(chosen, Register(Path(register)), identity, user)
        trial = Trial(confirm_within_s=confirm_within, soak_s=soak)
        orders = Orders(catalog=catalog, trial=trial, url=url)
        with Record(_record_file(record, resume=resume)) as opened:
            _begin(opened, head, resume=resume)
            if not json:
                _show_plan(head, json=False)
            _run(opened, orders, ways, json=json)


def _run(record: Record, orders: Orders, ways: dict[str, Way], *, json: bool) -> None:
    head = record.begun()

    def connect(place: Place) -> AbstractContextManager[FabricSession]:
        return connected(ways[place.name])

    def turn(place: Place) -> Entry:
        return update_node(place, connect, orders)

    control_of(record.file).set("")
    with Live(console=Console(quiet=json), auto_refresh=False) as screen:
        lock = threading.Lock()

        def changed() -> None:
            with lock:
                screen.update(live_view(record), refresh=True)

        Engine(record, head.plan, head.limits, turn, changed).run()
    summary = summary_of(record)
    if json:
        print(msgspec.json.encode(summary).decode())  # noqa: T201 - the command's answer
    else:
        Console().print(f"{summary.notes[-1]}; record: {record.file}")
    troubled = sum(summary.states[state] for state in ("failed", "unreachable", "rolled-back"))
    if troubled or summary.states["cancelled"]:
        raise Exit(code=_EXIT_STOPPED)


def _chosen(inventory: Path, names: str) -> list[Node]:
    known = inventories.nodes(inventory)
    return inventories.find(_words(names), known) if names else known


def _places(chosen: Sequence[Node], bench: str) -> list[Place]:
    named = {*_words(bench)}
    if unknown := named - {node.name for node in chosen}:
        raise PlanError(f"--bench names {', '.join(sorted(unknown))}, which is not updated here")
    return [Place(node.name, node.site, node.name in named) for node in chosen]


def _ways(chosen: Sequence[Node], register: Register, identity: str, user: str) -> dict[str, Way]:
    ways = {}
    for node in chosen:
        address = node.address or node.name
        # Two colons and more are an IPv6 address.
        host, _, port = address.partition(":") if address.count(":") == 1 else (address, "", "")
        keys = tuple(register.host_keys(node.name))
        if not keys:
            raise UnreachableError(
                f"{node.name}: no host key of it is known here; enrol it: simpul enrol {node.name}"
            )
        ways[node.name] = Way(
            host=host,
            port=int(port) if port.isdigit() else SSH_PORT,
            user=user,
            identity_file=identity,
            host_keys=keys,
        )
    return ways


def _record_file(named: str, *, resume: bool) -> Path:
    if named:
        return Path(named)
    if resume:
        raise RecordError("which rollout? Name its file with --record")
    return _FOLDER / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}.jsonl"


def _begin(record: Record, head: Head, *, resume: bool) -> None:
    if not resume:
        record.begin(head)
    elif record.begun().releases != head.releases:
        raise RecordError(f"{record.file}: is the rollout of another release; name its bundles")


def _leave_wish(record: str, *, abort: bool) -> None:
    if not Path(record).is_file():
        raise RecordError(f"{record or '--record'}: no such rollout; name its file with --record")
    control_of(Path(record)).set("abort" if abort else "pause")
    print("it ends once the nodes under way have ended")  # noqa: T201 - the command's answer


def _show_plan(head: Head, *, json: bool) -> None:
    if json:
        print(msgspec.json.encode(head.plan).decode())  # noqa: T201 - the command's answer
        return
    Console().print(plan_table(head.plan))


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
