"""Figures of a rollout over a large fleet, beside what other tools need for the same bundle.

SIMPUL_BENCH_NODES chooses how many nodes; SIMPUL_BENCH_PEERS names a venv with Mitogen, pyinfra and
an Ansible that Mitogen knows.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from services.fleet_peers import Peers, Spent
from services.fleet_rollout import measured_rollout
from services.node_fleet import LIGHT, NodeFleet, fleet_missing

from node.install.bundle import read_bundle
from node.install.manifest import release_hash
from provisioning.update.bundles import Catalog
from provisioning.update.plan import SHARES

COUNT = int(os.environ.get("SIMPUL_BENCH_NODES", "100"))
PARALLEL = 50
PEERS = Path(os.environ.get("SIMPUL_BENCH_PEERS", "/nonexistent"), "bin")
WHY_NO_PEERS = "" if (PEERS / "pyinfra").exists() else "SIMPUL_BENCH_PEERS names no venv with it"
pytestmark = [
    pytest.mark.bench,
    pytest.mark.timeout(7200),
    pytest.mark.skipif(bool(fleet_missing()), reason=fleet_missing()),
]
needs_peers = pytest.mark.skipif(bool(WHY_NO_PEERS), reason=WHY_NO_PEERS)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeFleet]:
    folder = tmp_path_factory.mktemp("fleet")
    begun_s = time.monotonic()
    with NodeFleet(folder / "nodes", COUNT, "mqtt://127.0.0.1:1", before=LIGHT) as fleet:
        print(f"\n{COUNT} nodes up in {time.monotonic() - begun_s:.0f} s")
        yield fleet


@pytest.mark.parametrize("shares", [SHARES, ()], ids=["in waves", "one, then all"])
def test_ours(fleet: NodeFleet, tmp_path: Path, shares: tuple[float, ...]) -> None:
    catalog = Catalog([fleet.bundle(2 + len(shares))], [], tmp_path)
    record = tmp_path / "record"
    cost = measured_rollout(fleet, catalog, record, parallel=PARALLEL, shares=shares)
    assert cost.states == {"success": COUNT}
    way = "in waves" if shares else "one node, then all"
    print(f"\nours, {way}: {cost.wall_s:.0f} s, {cost.cpu_s_per_node:.3f} s of CPU a node,")
    print(f"{cost.rss_mib:.0f} MiB at most, this test included")


def tell(what: str, spent: Spent) -> None:
    print(
        f"\n{what}, all at once: {spent.wall_s:.0f} s, {spent.cpu_s_per_node:.3f} s of CPU a node"
    )
    print(f"on the controller; its largest process so far {spent.rss_mib:.0f} MiB")


@pytest.mark.parametrize("forks", [5, 25, 50])
def test_ansible(fleet: NodeFleet, tmp_path: Path, forks: int) -> None:
    tell(
        f"Ansible, {forks} forks, pipelined",
        Peers(fleet, tmp_path).ansible(fleet.bundle(10 + forks), forks),
    )


@needs_peers
def test_mitogen(fleet: NodeFleet, tmp_path: Path) -> None:
    spent = Peers(fleet, tmp_path).mitogen(PEERS, fleet.bundle(70), PARALLEL)
    tell(f"Mitogen, {PARALLEL} forks", spent)


@needs_peers
def test_pyinfra(fleet: NodeFleet, tmp_path: Path) -> None:
    bundle = fleet.bundle(80)
    release = release_hash(read_bundle(bundle).manifest_text)
    spent = Peers(fleet, tmp_path).pyinfra(PEERS, bundle, release, PARALLEL)
    tell(f"pyinfra, {PARALLEL} at once", spent)
