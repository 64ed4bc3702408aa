"""A rollout over real nodes: sshd, the installer and the agent of each, and a broker."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest
from services.http_files import serving
from services.mosquitto import Mosquitto, mosquitto_program
from services.node_fleet import CRASHES, NodeFleet, fleet_missing
from services.waiting import until

from node.install.machine import Standing
from provisioning.__main__ import main
from provisioning.audit.verify import read_log
from provisioning.authority.authority import Authority
from provisioning.update.bundles import Catalog
from provisioning.update.errors import PutOffError, UnreachableError
from provisioning.update.link import Trial, connected
from provisioning.update.plan import Place, make_plan
from provisioning.update.record import Head, Record
from provisioning.update.rollout import Entry, Limits
from provisioning.update.turn import Orders, take_up_node, update_node

pytestmark = [
    pytest.mark.skipif(bool(fleet_missing()), reason=fleet_missing()),
    pytest.mark.skipif(mosquitto_program() is None, reason="mosquitto is not installed"),
    pytest.mark.timeout(600),
]
COUNT = 3
TRIAL = Trial(confirm_within_s=60, soak_s=1)
QUICK = ("--soak=1", "--confirm-within=60", "--wave-soak=0", "--json")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeFleet]:
    folder = tmp_path_factory.mktemp("fleet")
    with (
        Mosquitto(folder / "broker") as broker,
        NodeFleet(folder / "nodes", COUNT, f"mqtt://127.0.0.1:{broker.port}") as fleet,
    ):
        for name in fleet.nodes:
            until(partial(delivers, fleet, name), f"{name} to reach the broker", seconds=90)
        yield fleet


def standing(fleet: NodeFleet, name: str) -> Standing:
    with connected(fleet.ways()[name]) as session:
        return session.status()


def delivers(fleet: NodeFleet, name: str) -> bool:
    return standing(fleet, name).delivers is True


def turn(fleet: NodeFleet, name: str, catalog: Catalog) -> tuple[str, str]:
    entry = update_node(
        Place(name),
        lambda place: connected(fleet.ways()[place.name]),
        Orders(catalog=catalog, trial=TRIAL),
    )
    return entry.state, entry.message


def test_a_rollout_from_the_command_line(
    fleet: NodeFleet,
    authority: Authority,
    passphrase: bytes,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = [*fleet.station(tmp_path, authority.register), *QUICK]
    public = (fleet.folder / "user.pub").read_text()
    authority.unlock(passphrase, "ssh-user").technician("siregar", public, ["provisioner"], 8)
    good, bad = fleet.bundle(2), fleet.bundle(3, CRASHES)
    (base,) = (fleet.folder / "bundles-1").glob("*.bundle")
    record = f"--record={tmp_path / 'good.jsonl'}"
    assert main(["update", str(good), "--plan", *options]) == 0
    assert json.loads(capsys.readouterr().out)["waves"][0]["name"] == "1 node"
    assert main(["update", str(good), f"--base={base}", record, *options]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["states"]["success"] == COUNT
    assert all(entry["changed"] for entry in told["nodes"].values())
    (release,) = told["releases"].values()
    assert {node.current() for node in fleet.nodes.values()} == {release}
    # Back, said twice: who has left it already is left alone.
    for name, changed in (("back", COUNT), ("back-again", 0)):
        words = ["rollback", release, f"--record={tmp_path / name}", *options[:4], "--json"]
        assert main(words) == 0
        entries = json.loads(capsys.readouterr().out)["nodes"].values()
        assert sum(entry["changed"] for entry in entries) == changed
    assert release not in {node.current() for node in fleet.nodes.values()}
    record = f"--record={tmp_path / 'forth.jsonl'}"
    assert main(["update", str(good), f"--base={base}", record, *options]) == 0
    capsys.readouterr()
    # Again: nothing changes. And a bad one reaches the canary alone, which goes back by itself.
    assert main(["update", str(good), f"--record={tmp_path / 'again.jsonl'}", *options]) == 0
    again = json.loads(capsys.readouterr().out)["nodes"]
    assert not any(entry["changed"] for entry in again.values())
    assert main(["update", str(bad), f"--record={tmp_path / 'bad.jsonl'}", *options]) == 3
    told = json.loads(capsys.readouterr().out)
    assert told["states"]["rolled-back"] == 1
    assert told["states"]["cancelled"] == COUNT - 1
    assert {node.current() for node in fleet.nodes.values()} == {release}
    told_of_what_was_done(tmp_path, authority)


def told_of_what_was_done(folder: Path, authority: Authority) -> None:
    """See that the audit log has every rollout, signed, with the last word of its record."""
    log = read_log(folder / "audit.jsonl", authority.register.rows("certificate"))
    assert {(entry.signed_by, entry.problem) for entry in log.entries} == {("siregar", "")}
    begun, ended = log.entries[::2], log.entries[1::2]
    actions = ["update", "rollback", "rollback", "update", "update", "update"]
    assert [entry.deed.action for entry in begun] == actions
    assert not any(entry.deed.outcome for entry in begun)
    assert ended[-1].deed.outcome.startswith(f"1 rolled-back, {COUNT - 1} cancelled; record ends ")
    with Record(folder / "bad.jsonl") as record:
        assert ended[-1].deed.outcome.endswith(record.end)
    assert {entry.deed.nodes for entry in log.entries} == {("n0", "n1", "n2")}


def test_offline_before_is_pending_and_catches_up(fleet: NodeFleet, tmp_path: Path) -> None:
    catalog = Catalog([fleet.bundle(4)], [], tmp_path)
    fleet.nodes["n1"].stop()
    state, message = turn(fleet, "n1", catalog)
    assert (state, "offline before" in message) == ("pending", True)
    fleet.nodes["n1"].start()
    assert turn(fleet, "n1", catalog)[0] == "success"
    assert turn(fleet, "n1", catalog)[1].endswith("already")


def test_a_node_fetches_by_itself(fleet: NodeFleet, tmp_path: Path) -> None:
    bundle = fleet.bundle(6)
    with serving(bundle.parent) as port:
        orders = Orders(
            catalog=Catalog([bundle], [], tmp_path),
            trial=TRIAL,
            url=f"http://127.0.0.1:{port}/{{file}}",
        )
        entry = update_node(Place("n0"), lambda _: connected(fleet.ways()["n0"]), orders)
    assert (entry.state, entry.changed) == ("success", True)


def test_a_controller_that_died_before_it_confirmed_goes_on(
    fleet: NodeFleet, tmp_path: Path
) -> None:
    catalog = Catalog([fleet.bundle(5)], [], tmp_path)
    way = fleet.ways()["n2"]
    until(partial(delivers, fleet, "n2"), "n2", seconds=60)
    with connected(way) as session:
        choice = catalog.choose(session.status())
        remote = session.send(choice.file)
        assert session.install(remote, choice.release, TRIAL).status == "trial"
    # Here it was killed; the next run finds the trial.
    state, message = turn(fleet, "n2", catalog)
    assert (state, message.startswith("confirmed")) == ("success", True)
    assert standing(fleet, "n2").confirmed == choice.release


def test_what_a_node_took_back_while_nobody_was_there_is_told(
    fleet: NodeFleet, authority: Authority, tmp_path: Path
) -> None:
    """It is a failure of the rollout that told it to try the release, and of no later one."""
    catalog = Catalog([fleet.bundle(7)], [], tmp_path)
    way = fleet.ways()["n1"]
    with connected(way) as session:
        before = session.status()
        choice = catalog.choose(before)
        remote = session.send(choice.file)
        trial = Trial(confirm_within_s=1, soak_s=1)
        assert session.install(remote, choice.release, trial).status == "trial"
    # Here the controller was killed; nobody confirmed it in time.
    until(lambda: standing(fleet, "n1").status == "idle", "n1 to go back", seconds=60)
    entry = take_up_node(
        Place("n1"), lambda _: connected(way), Orders(catalog=catalog, trial=TRIAL), before.mark
    )
    assert (entry.state, "was taken back" in entry.message) == ("rolled-back", True)
    assert standing(fleet, "n1").confirmed == before.confirmed
    later = tmp_path / "later.jsonl"
    with Record(later) as record:
        plan = make_plan([Place("n1")], seed="x")
        record.begin(Head(releases=catalog.releases, plan=plan, limits=Limits()))
        record.set("n1", Entry("in-progress"))  # and here, before it told the node anything
    options = [*fleet.station(tmp_path, authority.register), *QUICK, "--nodes=n1"]
    bundle = str(choice.file)
    assert main(["update", bundle, f"--record={later}", "--resume", *options]) == 0
    assert standing(fleet, "n1").confirmed == choice.release
    assert b'"told":"' in later.read_bytes()


@pytest.mark.parametrize("known", ["another", "none"])
def test_an_unknown_host_key_is_not_believed(fleet: NodeFleet, known: str) -> None:
    ways = fleet.ways()
    keys = ways["n1"].host_keys if known == "another" else ()
    way = msgspec.structs.replace(ways["n0"], host_keys=keys)
    with (
        pytest.raises(UnreachableError, match=r"does not match|no key of it is known"),
        connected(way),
    ):
        pytest.fail("it was believed")


def test_one_that_is_put_off_keeps_nothing_of_it(fleet: NodeFleet, tmp_path: Path) -> None:
    incoming = fleet.nodes["n0"].folder / "opt/incoming"
    bundle = fleet.bundle(9)

    def put_off(_: str) -> str:
        assert [each.name for each in incoming.iterdir()] == [bundle.name]
        raise PutOffError("put off while guests were connected: pause")

    orders = Orders(catalog=Catalog([bundle], [], tmp_path), trial=TRIAL, quiet=put_off)
    entry = update_node(Place("n0"), lambda _: connected(fleet.ways()["n0"]), orders)
    assert entry.state == "pending"
    assert not list(incoming.iterdir())
