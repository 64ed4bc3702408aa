"""A person's yes makes a picture the node's reference: real broker, sshd and agent."""

import hashlib
import io
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from services.mosquitto import Mosquitto, mosquitto_program
from services.node_fleet import NodeFleet, fleet_missing
from services.waiting import until

from node.messages import read_still_info
from provisioning.__main__ import main
from provisioning.audit.verify import read_log
from provisioning.authority.authority import Authority
from provisioning.fleet import Fleet
from provisioning.listen import BrokerAccess, listening
from provisioning.register import Register

pytestmark = [
    pytest.mark.skipif(bool(fleet_missing()), reason=fleet_missing()),
    pytest.mark.skipif(mosquitto_program() is None, reason="mosquitto is not installed"),
    pytest.mark.timeout(300),
]
CAMERA = """
[camera]
adapter = "rendered"
width = 320
height = 192
mask_file = "/etc/simpul/mask.toml"
"""
NODE = "n0"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeFleet]:
    folder = tmp_path_factory.mktemp("view")
    with (
        Mosquitto(folder / "broker") as broker,
        NodeFleet(folder / "nodes", 1, broker.url) as fleet,
    ):
        node = fleet.nodes[NODE]
        node.stop()
        (node.folder / "etc/mask.toml").write_text("nothing_to_mask = true\n")
        with (node.folder / "etc/node.toml").open("a") as file:
            file.write(CAMERA)
        node.start()
        heard = Fleet()
        with listening(BrokerAccess(url=broker.url), ("state", "frame"), heard.hear):
            until(
                lambda: NODE in heard.nodes and heard.nodes[NODE].still_at is not None,
                "a still",
                seconds=90,
            )
        yield fleet


def confirm(
    fleet: NodeFleet,
    authority: Authority,
    folder: Path,
    answer: str,
    monkeypatch: pytest.MonkeyPatch,
) -> int:
    options = fleet.station(folder, authority.register)
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    return main(["confirm-view", NODE, f"--broker={fleet.broker}", *options])


@pytest.fixture
def station(fleet: NodeFleet, authority: Authority, passphrase: bytes) -> Authority:
    public = (fleet.folder / "user.pub").read_text()
    authority.unlock(passphrase, "ssh-user").technician("ayu", public, ["provisioner"], 8)
    return authority


def test_a_no_and_no_answer_confirm_nothing(
    fleet: NodeFleet,
    station: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for answer in ("t\n", ""):
        assert confirm(fleet, station, tmp_path, answer, monkeypatch) == 3
        assert "not confirmed; turn the camera" in capsys.readouterr().out
    assert station.register.rows("view") == []
    assert not station.register.view_confirmed(NODE)
    assert not (fleet.nodes[NODE].folder / "var/view/reference.jpg").exists()


def test_a_yes_is_kept_in_the_register_and_on_the_node(
    fleet: NodeFleet,
    station: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reference = fleet.nodes[NODE].folder / "var/view/reference.jpg"
    hashes = []
    for _ in range(2):
        assert confirm(fleet, station, tmp_path, "ya\n", monkeypatch) == 0
        hashes.append(hashlib.sha256(reference.read_bytes()).hexdigest())
        assert f"view confirmed, sha256 {hashes[-1]}" in capsys.readouterr().out
    rows = station.register.rows("view")
    assert [row["still_sha256"] for row in rows] == hashes
    assert {(row["node"], row["who"]) for row in rows} == {(NODE, Register(tmp_path / "x").who)}
    assert station.register.view_confirmed(NODE)
    assert len({*hashes}) == 2, "each is a picture of its own time"
    assert read_still_info(reference.read_bytes()).at
    assert [file.name for file in reference.parent.iterdir()] == ["reference.jpg"]
    assert stat.S_IMODE(reference.stat().st_mode) & stat.S_IRGRP
    log = read_log(tmp_path / "audit.jsonl", station.register.rows("certificate"))
    done = [entry for entry in log.entries if entry.deed.outcome == "done"]
    assert [(each.deed.action, each.signed_by) for each in done] == [("confirm-view", "ayu")] * 2
    # A card flashed anew is another box, perhaps on another pole.
    until(lambda: _flashed_later(station.register), "the clock's next second")


def _flashed_later(register: Register) -> bool:
    register.record_host_key(NODE, "ssh-ed25519 AAAA", "flashed")
    return not register.view_confirmed(NODE)
