"""A rollout by notices alone: a real broker, agents, followers and web server; no SSH."""

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

from node.install.bundle import read_bundle
from node.install.manifest import release_hash
from node.install.notice import Notice, notice_topic
from provisioning.__main__ import main
from provisioning.authority.authority import Authority
from provisioning.listen import BrokerAccess, listening
from provisioning.update.errors import UnreachableError
from provisioning.update.link import opened
from provisioning.update.notices import noticing

pytestmark = [
    pytest.mark.skipif(bool(fleet_missing()), reason=fleet_missing()),
    pytest.mark.skipif(mosquitto_program() is None, reason="mosquitto is not installed"),
    pytest.mark.timeout(600),
]
COUNT = 3
FOLLOW = (
    "setsid -f sh -c 'while :; do /opt/simpul/current/bin/simpul-node install follow;"
    " sleep 1; done' > /run/follow.log 2>&1 < /dev/null"
)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeFleet]:
    folder = tmp_path_factory.mktemp("pull")
    with (
        Mosquitto(folder / "broker") as broker,
        NodeFleet(folder / "nodes", COUNT, broker.url) as fleet,
    ):
        for name in fleet.nodes:
            follow(fleet, name)
        yield fleet


def follow(fleet: NodeFleet, name: str) -> None:
    """Start the follower, as its unit does, and wait until the agent has delivered something."""
    with opened(fleet.ways()[name]) as connection:
        connection.run(FOLLOW, hide=True, in_stream=False)
    with noticing(BrokerAccess(url=fleet.broker)) as notices:
        until(partial(delivers, notices, name), f"{name} to report", seconds=90)


def delivers(notices: object, name: str) -> bool:
    try:
        with notices.session(name) as session:  # type: ignore[attr-defined] # see noticing
            return session.status().delivers is True
    except UnreachableError:
        return False


def words(fleet: NodeFleet, folder: Path, authority: Authority, url: str) -> list[str]:
    """Return the options of a station that could not enter any node."""
    names = sorted(fleet.nodes)
    lines = [f"[site_{name}]\n{name} ansible_host=127.0.0.1:1" for name in names]
    children = "\n".join(f"site_{name}" for name in names)
    (folder / "inventory.ini").write_text("\n".join([*lines, f"[nodes:children]\n{children}\n"]))
    assert authority.register.host_keys("n0") == {}
    return [
        f"--inventory={folder / 'inventory.ini'}",
        f"--register={authority.register.file}",
        f"--identity={fleet.folder / 'user'}",
        f"--audit={folder / 'audit.jsonl'}",
        f"--broker={fleet.broker}",
        "--pull",
        "--json",
        *((f"--url={url}", "--soak=1", "--confirm-within=60", "--wave-soak=0") if url else ()),
    ]


def hash_of(bundle: Path) -> str:
    return release_hash(read_bundle(bundle).manifest_text)


def running(fleet: NodeFleet) -> set[str]:
    return {node.current() for node in fleet.nodes.values()}


@pytest.mark.long
def test_a_rollout_by_notices(
    fleet: NodeFleet, authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad, served = fleet.bundle(2), fleet.bundle(3, CRASHES), tmp_path / "served"
    served.mkdir()
    for bundle in (good, bad):
        (served / bundle.name).write_bytes(bundle.read_bytes())
    with serving(served) as port:
        options = words(fleet, tmp_path, authority, f"http://127.0.0.1:{port}/{{file}}")
        record = f"--record={tmp_path / 'good.jsonl'}"
        # A node that is away before stays pending, and catches up.
        fleet.nodes["n1"].stop()
        assert main(["update", str(good), record, *options]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["states"]["success"], told["nodes"]["n1"]["state"]) == (COUNT - 1, "pending")
        assert "offline before" in told["nodes"]["n1"]["message"]
        fleet.nodes["n1"].start()
        follow(fleet, "n1")
        assert main(["update", str(good), record, "--resume", *options]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["states"]["success"] == COUNT, told
        assert running(fleet) == {hash_of(good)}
        # A bad one reaches one node, which goes back by itself.
        assert main(["update", str(bad), f"--record={tmp_path / 'bad.jsonl'}", *options]) == 3
        told = json.loads(capsys.readouterr().out)
        assert (told["states"]["rolled-back"], told["states"]["cancelled"]) == (1, COUNT - 1), told
        assert running(fleet) == {hash_of(good)}
    back = words(fleet, tmp_path, authority, "")
    for name, changed in (("back", COUNT), ("again", 0)):
        record = f"--record={tmp_path / name}"
        assert main(["rollback", hash_of(good), record, *back]) == 0
        entries = json.loads(capsys.readouterr().out)["nodes"].values()
        assert sum(entry["changed"] for entry in entries) == changed
    assert hash_of(good) not in running(fleet)
    assert retained(fleet) == []


def retained(fleet: NodeFleet) -> list[str]:
    """Return the topics at which a notice is still retained."""
    heard: list[str] = []
    access = BrokerAccess(url=fleet.broker)
    topics = tuple(notice_topic(name) for name in (*fleet.nodes, "marker"))
    with listening(access, (), lambda topic, _: heard.append(topic), topics=topics) as say:
        say(notice_topic("marker"), b"last")
        until(lambda: notice_topic("marker") in heard, "what is retained")
    return [topic for topic in heard if topic != notice_topic("marker")]


def test_what_is_not_signed_or_no_notice_changes_nothing(fleet: NodeFleet, tmp_path: Path) -> None:
    before = running(fleet)
    bundle = fleet.bundle(9)
    spoiled = tmp_path / bundle.name
    spoiled.write_bytes(bundle.read_bytes()[:-40] + bytes(40))
    good = Notice(id="0" * 16, do="status")
    shouts = [
        b"",
        b"\xff",
        b"[" * 10_000,
        b'{"id":"0000000000000000","do":"reboot"}',
        b'{"id":"0000000000000000","do":"install","url":"file:///etc/shadow","release":""}',
        msgspec.json.encode(good) + b" " * 20_000,
    ]
    access = BrokerAccess(url=fleet.broker)
    with listening(access, ("state",), lambda *_: None) as say:
        for shout in shouts:
            say(notice_topic("n0"), shout)
    with serving(tmp_path) as port, noticing(access) as notices:
        notice = Notice(
            id="1" * 16,
            do="install",
            url=f"http://127.0.0.1:{port}/{bundle.name}",
            release=hash_of(bundle),
        )
        report = notices.ask("n0", notice, 60)
        assert msgspec.json.decode(report.said)["status"] == "refused", report
        with notices.session("n0") as session:
            assert session.status().status == "idle"
    assert running(fleet) == before


def test_a_notice_is_carried_out_once(fleet: NodeFleet) -> None:
    """It is retained, and comes again whenever the follower connects."""
    with noticing(BrokerAccess(url=fleet.broker)) as notices:
        notice = Notice(id="2" * 16, do="confirm", release="0" * 64)
        assert notices.ask("n2", notice, 60).said
        with pytest.raises(UnreachableError, match="no report"):
            notices.ask("n2", notice, 3)
        with notices.session("n2") as session:
            assert session.status().active
