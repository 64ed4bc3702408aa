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


@pytest.fixture(params=[True, False], ids=["watched", "work alone"])
def watched(fleet: NodeFleet, request: pytest.FixtureRequest) -> bool:
    """Tell whether nodes watch a release for 11 s; without settings they have nothing to watch."""
    wanted = bool(request.param)
    for node in fleet.nodes.values():
        on, off = node.folder / "etc/node.toml", node.folder / "etc/node.toml.off"
        if wanted and off.exists():
            off.rename(on)
        elif not wanted and on.exists():
            on.rename(off)
    return wanted


def newer(fleet: NodeFleet) -> Path:
    return fleet.bundle(len([*fleet.folder.glob("bundles-*")]) + 1)


def words(watched: bool) -> str:  # noqa: FBT001 - one word for the table
    return "watched" if watched else "work alone"


@pytest.mark.parametrize("shares", [SHARES, ()], ids=["in waves", "one, then all"])
def test_ours(
    fleet: NodeFleet,
    tmp_path: Path,
    watched: bool,  # noqa: FBT001 - a fixture
    shares: tuple[float, ...],
) -> None:
    catalog = Catalog([newer(fleet)], [], tmp_path)
    record = tmp_path / "record"
    cost = measured_rollout(fleet, catalog, record, parallel=PARALLEL, shares=shares)
    assert cost.states == {"success": COUNT}
    way = "in waves" if shares else "one node, then all"
    print(f"\nours, {way}, {words(watched)}: {cost.wall_s:.0f} s,")
    print(f"{cost.cpu_s_per_node:.3f} s of CPU a node, {cost.rss_mib:.0f} MiB with this test")


def tell(what: str, spent: Spent, watched: bool) -> None:  # noqa: FBT001 - as above
    print(f"\n{what}, all at once, {words(watched)}: {spent.wall_s:.0f} s,")
    print(f"{spent.cpu_s_per_node:.3f} s of CPU a node on the controller")


@pytest.mark.parametrize("forks", [5, 25, 50])
def test_ansible(fleet: NodeFleet, tmp_path: Path, watched: bool, forks: int) -> None:  # noqa: FBT001 - a fixture
    spent = Peers(fleet, tmp_path).ansible(newer(fleet), forks)
    tell(f"Ansible, {forks} forks, pipelined", spent, watched)


@needs_peers
def test_mitogen(fleet: NodeFleet, tmp_path: Path, watched: bool) -> None:  # noqa: FBT001 - as above
    tell("Mitogen, 50 forks", Peers(fleet, tmp_path).mitogen(PEERS, newer(fleet), 50), watched)


@needs_peers
def test_pyinfra(fleet: NodeFleet, tmp_path: Path, watched: bool) -> None:  # noqa: FBT001 - as above
    bundle = newer(fleet)
    release = release_hash(read_bundle(bundle).manifest_text)
    spent = Peers(fleet, tmp_path).pyinfra(PEERS, bundle, release, 50)
    tell("pyinfra, 50 at once", spent, watched)
