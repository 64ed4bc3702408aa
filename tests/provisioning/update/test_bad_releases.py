"""Every kind of bad release stays with the first node, is told with its reason, and goes away."""

import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from msgspec import Struct
from services import bad_releases as bad
from services.mosquitto import Mosquitto, mosquitto_program
from services.node_fleet import CRASHES, NodeFleet, fleet_missing
from services.waiting import until

from provisioning.update.bundles import Catalog
from provisioning.update.engine import Around, Engine, Gate
from provisioning.update.errors import UnreachableError
from provisioning.update.link import Trial, connected
from provisioning.update.plan import Place, make_plan
from provisioning.update.record import Head, Record
from provisioning.update.rollout import Entry, Limits
from provisioning.update.turn import Orders, look_again, update_node

pytestmark = [
    pytest.mark.skipif(bool(fleet_missing()), reason=fleet_missing()),
    pytest.mark.skipif(mosquitto_program() is None, reason="mosquitto is not installed"),
    pytest.mark.long,
    pytest.mark.timeout(900),
]
COUNT = 4
TRIAL = Trial(confirm_within_s=45, soak_s=1)


class Case(Struct, frozen=True):
    """A release that is bad at something, how its first node ends, and why."""

    name: str
    what: str
    state: str
    reason: str
    wave_soak_s: float = 0.0


CASES = (
    Case("crashes", CRASHES, "rolled-back", "did not become ready"),
    Case("hangs", bad.HANGS, "rolled-back", "the agent hangs: silent"),
    Case("eats memory", bad.EATS_MEMORY, "rolled-back", "agent (ended|crashed)|not become ready"),
    Case("reaches no broker", bad.REACHES_NO_BROKER, "rolled-back", "reaches no broker"),
    Case("kills the network", bad.KILLS_THE_NETWORK, "rolled-back", "reaches no broker"),
    Case("kills SSH", bad.KILLS_SSH, "rolled-back", "nobody confirmed it in time"),
    Case("refuses settings", bad.REFUSES_SETTINGS, "failed", "camera.angel: unknown"),
    Case("crashes later", bad.crashes_after(30), "rolled-back", "after its update: .*crashed", 40),
)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeFleet]:
    folder = tmp_path_factory.mktemp("fleet")
    with (
        Mosquitto(folder / "broker") as broker,
        NodeFleet(folder / "nodes", COUNT, f"mqtt://127.0.0.1:{broker.port}") as fleet,
    ):
        wait_healthy(fleet)
        yield fleet


def is_well(fleet: NodeFleet, name: str) -> bool:
    try:
        with connected(fleet.ways()[name]) as session:
            now = session.status()
    except UnreachableError:
        return False
    return now.status == "idle" and now.active is True and now.delivers is True


def wait_healthy(fleet: NodeFleet) -> None:
    for name in fleet.nodes:
        until(partial(is_well, fleet, name), f"{name} to be well", seconds=200)


def roll_out(fleet: NodeFleet, bundle: Path, folder: Path, wave_soak_s: float) -> dict[str, Entry]:
    ways = fleet.ways()
    catalog = Catalog([bundle], [], folder)
    orders = Orders(catalog=catalog, trial=TRIAL)
    plan = make_plan([Place(name) for name in fleet.nodes], seed="x")
    releases = {*catalog.releases.values()}
    gate = Gate(
        look=lambda place, entry: look_again(
            place, entry, lambda p: connected(ways[p.name]), releases
        ),
        soak_s=wave_soak_s,
    )
    with Record(folder / "record") as record:
        record.begin(Head(releases=catalog.releases, plan=plan, limits=Limits()))
        Engine(
            record,
            plan,
            Limits(),
            lambda place: update_node(place, lambda p: connected(ways[p.name]), orders),
            Around(gate=gate),
        ).run()
        return dict(record.entries)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_stays_with_the_first_node(fleet: NodeFleet, case: Case, tmp_path: Path) -> None:
    before = {name: node.current() for name, node in fleet.nodes.items()}
    bundle = fleet.bundle(10 + CASES.index(case), case.what)
    begun_s = time.monotonic()
    entries = roll_out(fleet, bundle, tmp_path, case.wave_soak_s)
    wait_healthy(fleet)
    healthy_s = time.monotonic() - begun_s
    reached = {name: entry for name, entry in entries.items() if entry.state != "cancelled"}
    (first,) = reached.values()
    print(f"\n{case.name}: 1 node, all healthy after {healthy_s:.0f} s: {first.message}")  # noqa: T201 - the figure
    assert first.state == case.state, first.message
    assert re.search(case.reason, first.message, re.DOTALL), first.message
    assert {name: node.current() for name, node in fleet.nodes.items()} == before


def test_what_breaks_on_one_model_stops_at_its_first(fleet: NodeFleet, tmp_path: Path) -> None:
    plan = make_plan([Place(name) for name in fleet.nodes], seed="x")
    *_, last = plan.order
    (fleet.nodes[last.name].folder / "etc/model").write_text(bad.MODEL)
    entries = roll_out(fleet, fleet.bundle(30, bad.FAILS_ON_ONE_MODEL), tmp_path, 0)
    wait_healthy(fleet)
    assert entries[last.name].state == "rolled-back"
    assert {entry.state for name, entry in entries.items() if name != last.name} == {"success"}
