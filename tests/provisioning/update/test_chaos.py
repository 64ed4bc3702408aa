"""Nodes vanish and return, the controller is killed over and over: all end on the right release."""

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from services.node_fleet import LIGHT, ROOT, NodeFleet, fleet_missing

from node.install.bundle import read_bundle
from node.install.manifest import release_hash
from provisioning.authority.authority import Authority
from provisioning.update.link import FabricSession, opened
from provisioning.update.record import read_record

pytestmark = [
    pytest.mark.skipif(bool(fleet_missing()), reason=fleet_missing()),
    pytest.mark.long,
    pytest.mark.timeout(1800),
]
COUNT = 12
KILLS = 12
AWAY = 4


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[NodeFleet]:
    with NodeFleet(tmp_path / "nodes", COUNT, "mqtt://127.0.0.1:1", before=LIGHT) as fleet:
        yield fleet


def test_nobody_is_lost_and_nobody_updated_twice(
    fleet: NodeFleet, authority: Authority, tmp_path: Path
) -> None:
    draw = random.Random(7)  # noqa: S311 - repeatable, no secret
    bundle = fleet.bundle(2)
    release = release_hash(read_bundle(bundle).manifest_text)
    line = [sys.executable, "-m", "provisioning", "update", str(bundle)]
    line += fleet.station(tmp_path, authority.register)
    line += [f"--record={tmp_path / 'record.jsonl'}", "--wave-soak=0", "--json"]
    line += ["--soak=1", "--confirm-within=90", "--parallel=4"]
    away = draw.sample(sorted(fleet.nodes), AWAY)
    for name in away:
        fleet.nodes[name].stop()
    kills = 0
    for run in range(60):
        if away and run % 2:
            fleet.nodes[away.pop()].start()
        resume = ["--resume"] if (tmp_path / "record.jsonl").exists() else []
        with subprocess.Popen([*line, *resume], cwd=ROOT, stdout=subprocess.PIPE) as controller:
            if kills < KILLS:
                killer = threading.Timer(
                    draw.uniform(1, 12), controller.send_signal, [signal.SIGKILL]
                )
                killer.start()
            controller.communicate()
            killer.cancel()
        kills += controller.returncode == -signal.SIGKILL
        if not away and controller.returncode == 0:
            states = {
                entry.state for entry in read_record(tmp_path / "record.jsonl").entries.values()
            }
            if states == {"success"}:
                break
    assert kills >= KILLS // 2
    assert {node.current() for node in fleet.nodes.values()} == {release}
    for name, way in fleet.ways().items():
        with opened(way) as connection:
            now = FabricSession(connection).status()
            starts = connection.run("grep -c started /run/agent.log", hide=True, in_stream=False)
        assert (now.confirmed, now.status, now.active) == (release, "idle", True), name
        # Once when the node came up, and once by its one update.
        assert starts.stdout.strip() == "2", name
    print(f"\n{kills} kills of the controller, {run + 1} runs, {COUNT} nodes, {AWAY} of them away")  # noqa: T201
