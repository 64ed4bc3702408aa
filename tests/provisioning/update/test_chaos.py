"""Bad network, nodes that vanish and return, a controller killed over and over: all end well."""

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from services.bad_link import BadLink, bad_link_missing
from services.node_fleet import LIGHT, ROOT, NodeFleet, fleet_missing

from node.install.bundle import read_bundle
from node.install.manifest import release_hash
from provisioning.authority.authority import Authority
from provisioning.update.link import FabricSession, opened
from provisioning.update.record import read_record

WHY_NOT = fleet_missing() or bad_link_missing()
pytestmark = [
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT),
    pytest.mark.long,
    pytest.mark.timeout(3600),
]
COUNT = 10
KILLS = 50
AWAY_RATIO = (0.1, 0.5)
LOSS_RATIO = 0.05
DELAY_S = 0.15  # one way: 300 ms there and back
LIVES_S = (2, 22)
RETURNS_S = (0, 60)
ROLLOUTS_MAX = 20


@pytest.fixture
def link() -> Iterator[BadLink]:
    with BadLink(loss=LOSS_RATIO, delay_s=DELAY_S) as link:
        yield link


@pytest.fixture
def fleet(link: BadLink, tmp_path: Path) -> Iterator[NodeFleet]:
    with NodeFleet(
        tmp_path / "nodes",
        COUNT,
        "mqtt://127.0.0.1:1",
        before=LIGHT,
        address=link.far,
        within=link.within,
    ) as fleet:
        yield fleet


@dataclass
class Chaos:
    """One rollout after the other, all under the same hardships, until there were kills enough."""

    fleet: NodeFleet
    line: list[str]
    draw: random.Random
    kills: int = 0

    def roll_out(self, record: Path, bundle: Path) -> list[str]:
        """Bring the bundle to every node; return who was away at first."""
        share = self.draw.uniform(*AWAY_RATIO)
        away = self.draw.sample(sorted(self.fleet.nodes), round(share * COUNT))
        with ThreadPoolExecutor(max_workers=COUNT) as pool:
            list(pool.map(lambda name: self.fleet.nodes[name].stop(), away))
        timers = [
            threading.Timer(self.draw.uniform(*RETURNS_S), self.fleet.nodes[name].start)
            for name in away
        ]
        for timer in timers:
            timer.start()
        try:
            while not self._run(record, bundle):
                pass
        finally:
            for timer in timers:
                timer.join()
        return away

    def _run(self, record: Path, bundle: Path) -> bool:
        """Run the controller once, to its end or its death; tell whether all is done."""
        resume = ["--resume"] if record.exists() else []
        line = [*self.line, str(bundle), f"--record={record}", *resume]
        with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE) as controller:
            killer = threading.Timer(self.draw.uniform(*LIVES_S), controller.kill)
            if self.kills < KILLS:
                killer.start()
            controller.communicate()
            killer.cancel()
        if controller.returncode == -signal.SIGKILL:
            self.kills += 1
            return False
        assert controller.returncode == 0, read_record(record).entries
        return {entry.state for entry in read_record(record).entries.values()} == {"success"}


def test_nobody_is_lost_and_nobody_updated_twice(
    fleet: NodeFleet, link: BadLink, authority: Authority, tmp_path: Path
) -> None:
    line = [sys.executable, "-m", "provisioning", "update"]
    line += fleet.station(tmp_path, authority.register)
    line += ["--wave-soak=0", "--json", "--soak=1", "--confirm-within=900", "--parallel=6"]
    chaos = Chaos(fleet, line, random.Random(7))  # noqa: S311 - repeatable, no secret
    starts = dict.fromkeys(fleet.nodes, 1)  # each when the node came up
    rollouts = away = 0
    while chaos.kills < KILLS and rollouts < ROLLOUTS_MAX:
        rollouts += 1
        bundle = fleet.bundle(1 + rollouts)
        gone = chaos.roll_out(tmp_path / f"record-{rollouts}.jsonl", bundle)
        away += len(gone)
        starts |= dict.fromkeys(gone, 1)
        release = release_hash(read_bundle(bundle).manifest_text)
        assert {node.current() for node in fleet.nodes.values()} == {release}
        for name, way in fleet.ways().items():
            starts[name] += 1  # once by its one update
            with opened(way) as connection:
                now = FabricSession(connection).status()
                told = connection.run("grep -c started /run/agent.log", hide=True, in_stream=False)
            assert (now.confirmed, now.status, now.active) == (release, "idle", True), name
            assert int(told.stdout) == starts[name], name
        print(f"\n{rollouts} rollouts, {chaos.kills} kills of the controller, {away} times away")  # noqa: T201
    print(f"{link.lost} of {link.lost + link.carried} packets lost")  # noqa: T201
    assert chaos.kills == KILLS
