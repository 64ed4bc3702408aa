"""New systems in waves, over real sshd: what RAUC and the boot do is played by stand-ins here.

The bundle is one of RAUC's own making. The real RAUC, slots and boots of a node are those of
tests/images and tests/provisioning/image/test_update_boots.py.
"""

import datetime as dt
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from services.node_fleet import LIGHT, NodeFleet, fleet_missing
from services.small_card import make_small_card

from provisioning.__main__ import main
from provisioning.authority.authority import Authority
from provisioning.image.bundle import BundleOrder, make_bundle
from provisioning.image.bundle_keys import make_keys
from provisioning.update.errors import PlanError, PutOffError
from provisioning.update.os_bundle import read_os_bundle
from provisioning.update.os_turn import OsOrders, update_system

pytestmark = [
    pytest.mark.skipif(bool(fleet_missing()), reason=fleet_missing()),
    pytest.mark.timeout(600),
]
COUNT = 3
OLD, NEW = "1.1.0", "1.2.0"
SENT = "var/system.raucb"
# What a node does with a bundle is its `plan`: keeps it, goes back, refuses it, or never returns.
OS_UPDATE = """#!/bin/sh
set -eu
state=/var/lib/simpul
case "$(cat $state/plan)" in
    refuses)
        printf '100%% Installing failed.\nLastError: signature verification failed\nidle\n'
        echo "Installing failed" >&2
        exit 1 ;;
    keeps) sha256sum < "$1" > $state/got; echo @new@ > $state/version; : > $state/trial ;;
    vanishes) : > $state/off ;;
esac
kill 1
sleep 60
"""
# A system is on trial for some seconds after its boot.
SLOT_BOOT = """#!/bin/sh
[ -e /var/lib/simpul/trial ] || exit 1
[ -n "$(find /proc/1 -maxdepth 0 -newermt '-4 seconds')" ] || { rm /var/lib/simpul/trial; exit 1; }
"""
# What RAUC says it does: it installs for as long as it is asked twice.
BUSCTL = """#!/bin/sh
echo . >> /var/lib/simpul/asked
[ "$(wc -l < /var/lib/simpul/asked)" -gt 2 ] && echo 's "idle"' || echo 's "installing"'
"""
# os-release as a program would see it: its version is the one that runs.
SYSTEM = 'IMAGE_VERSION="$(cat /var/lib/simpul/version)"\n'


class Power:
    """Starts nodes again that rebooted: their first process has ended."""

    def __init__(self, fleet: NodeFleet) -> None:
        self._fleet = fleet
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.2):
            for node in self._fleet.nodes.values():
                ended = node.process is not None and node.process.poll() is not None
                if ended and not (node.folder / "var/off").exists():
                    node.stop()
                    node.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    keys = make_keys(folder / "keys", dt.datetime.now(dt.UTC))
    return make_bundle(
        BundleOrder(
            image=make_small_card(folder),
            version=NEW,
            compatible="simpul-test",
            keys=keys,
            output=folder / "simpul.raucb",
        )
    )


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[NodeFleet]:
    fleet = NodeFleet(tmp_path / "nodes", COUNT, "mqtt://127.0.0.1:1", before=LIGHT)
    fleet.layers = {
        "usr/lib/simpul/os-update": OS_UPDATE.replace("@new@", NEW),
        "usr/lib/simpul/slot-boot": SLOT_BOOT,
        "usr/lib/os-release": SYSTEM,
    }
    with fleet:
        for name in fleet.nodes:
            plan(fleet, name, "keeps")
            (fleet.nodes[name].folder / "var/version").write_text(OLD)
        power = Power(fleet)
        try:
            yield fleet
        finally:
            power.close()


def plan(fleet: NodeFleet, name: str, what: str) -> None:
    (fleet.nodes[name].folder / "var/plan").write_text(what)


def left_behind(fleet: NodeFleet) -> list[str]:
    """Return the nodes that still hold what was sent to them."""
    return [name for name, node in fleet.nodes.items() if (node.folder / SENT).exists()]


def versions(fleet: NodeFleet) -> list[str]:
    return [(node.folder / "var/version").read_text().strip() for node in fleet.nodes.values()]


def update_os(
    fleet: NodeFleet,
    authority: Authority,
    folder: Path,
    bundle: Path,
    capsys: pytest.CaptureFixture[str],
    *words: str,
) -> tuple[int, dict[str, dict[str, object]]]:
    options = [*fleet.station(folder, authority.register), "--wave-soak=0", "--json", *words]
    code = main(["update-os", str(bundle), *options])
    told = json.loads(capsys.readouterr().out)
    return code, told["nodes"]


@pytest.mark.long
def test_a_fleet_gets_a_new_system(
    fleet: NodeFleet,
    authority: Authority,
    bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A node away before is pending, and catches up; whoever has the system is left alone."""
    record = f"--record={tmp_path / 'record.jsonl'}"
    (fleet.nodes["n1"].folder / "var/off").touch()
    fleet.nodes["n1"].stop()
    code, nodes = update_os(fleet, authority, tmp_path, bundle, capsys, record)
    assert code == 0, nodes.values()
    assert (nodes["n1"]["state"], nodes["n1"]["away"]) == ("pending", True)
    (fleet.nodes["n1"].folder / "var/off").unlink()
    fleet.nodes["n1"].start()
    code, nodes = update_os(fleet, authority, tmp_path, bundle, capsys, record, "--resume")
    assert (code, {str(entry["state"]) for entry in nodes.values()}) == (0, {"success"}), nodes
    assert {str(entry["message"]) for entry in nodes.values()} == {f"runs {NEW}, confirmed"}
    assert versions(fleet) == [NEW] * COUNT
    got = {(node.folder / "var/got").read_text() for node in fleet.nodes.values()}
    assert len(got) == 1, "not the same bundle everywhere"
    assert left_behind(fleet) == []
    again = f"--record={tmp_path / 'again.jsonl'}"
    code, nodes = update_os(fleet, authority, tmp_path, bundle, capsys, again)
    assert (code, any(entry["changed"] for entry in nodes.values())) == (0, False)


BAD = {
    "refuses": ("failed", "refuses it, and runs on: signature verification failed"),
    "goes back": ("rolled-back", f"runs {OLD} again: {NEW} did not prove itself"),
    "vanishes": ("unreachable", "not met again"),
}


@pytest.mark.parametrize(
    "what",
    [each if each == "refuses" else pytest.param(each, marks=pytest.mark.long) for each in BAD],
)
def test_a_bad_system_reaches_one_node(
    fleet: NodeFleet,
    authority: Authority,
    bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    what: str,
) -> None:
    state, words = BAD[what]
    for name in fleet.nodes:
        plan(fleet, name, what)
    record = f"--record={tmp_path / 'record.jsonl'}"
    code, nodes = update_os(fleet, authority, tmp_path, bundle, capsys, record, "--within=12")
    states = sorted(str(entry["state"]) for entry in nodes.values())
    assert (code, states) == (3, sorted([state, *["cancelled"] * (COUNT - 1)])), nodes
    (told,) = (entry["message"] for entry in nodes.values() if entry["state"] == state)
    assert words in str(told)
    assert versions(fleet) == [OLD] * COUNT
    assert len(left_behind(fleet)) == (what == "vanishes")


def test_one_that_is_put_off_keeps_nothing_of_it(fleet: NodeFleet, bundle: Path) -> None:
    def put_off(_: str) -> str:
        assert left_behind(fleet) == ["n0"]
        raise PutOffError("put off while guests were connected: pause")

    orders = OsOrders(bundle=read_os_bundle(bundle), quiet=put_off)
    assert update_system("n0", fleet.ways()["n0"], orders).state == "pending"
    assert left_behind(fleet) == []


def test_the_version_is_read_from_the_bundle(bundle: Path, tmp_path: Path) -> None:
    assert read_os_bundle(bundle).version == NEW
    for name, content in (
        ("empty", b""),
        ("short", b"\0" * 7),
        ("no signature", bundle.read_bytes()[:-9]),
        ("no manifest", b"a" * 100 + (50).to_bytes(8)),
        ("too long", b"a" * 100 + (2**40).to_bytes(8)),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(PlanError, match=r"no RAUC bundle|names no version"):
            read_os_bundle(tmp_path / name)
    with pytest.raises(PlanError, match="No such file"):
        read_os_bundle(tmp_path / "nothing")


def test_what_a_node_still_installs_is_not_written_over(
    fleet: NodeFleet, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The laptop died while RAUC was at work, which goes on alone."""
    node = fleet.nodes["n0"].folder
    (node / "bin/busctl").write_text(BUSCTL)
    (node / "bin/busctl").chmod(0o755)
    (node / SENT).write_bytes(b"what RAUC reads")
    read: list[bytes] = []

    def put_off(_: str) -> str:
        raise PutOffError("far enough")

    def looked(*_: object) -> None:
        read.append((node / SENT).read_bytes())

    clock = SimpleNamespace(sleep=looked, monotonic=time.monotonic)
    monkeypatch.setattr("provisioning.update.os_turn.time", clock)
    orders = OsOrders(bundle=read_os_bundle(bundle), quiet=put_off)
    assert update_system("n0", fleet.ways()["n0"], orders).state == "pending"
    assert read == [b"what RAUC reads"] * 2
