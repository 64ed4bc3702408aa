"""Figures of a rollout over a large fleet, beside what other tools need for the same bundle.

SIMPUL_BENCH_NODES chooses how many nodes; SIMPUL_BENCH_PEERS names a venv with Mitogen, pyinfra and
an Ansible that Mitogen knows.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from services.fleet_peers import Peers
from services.fleet_rollout import measured_rollout
from services.node_fleet import LIGHT, ROOT, NodeFleet, fleet_missing
from services.spent import Meter, Spent, highest_kib

from node.install.bundle import read_bundle
from node.install.manifest import release_hash
from provisioning.register import Register
from provisioning.update.bundles import Catalog
from provisioning.update.plan import SHARES

COUNT = int(os.environ.get("SIMPUL_BENCH_NODES", "100"))
PARALLEL = 50
_IDLE_S = 10
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


@pytest.fixture(scope="module")
def idle_cpu_ratio(fleet: NodeFleet) -> float:
    """Return how many processors the nodes keep busy with nothing to do."""
    assert fleet.nodes
    meter = Meter(resource.RUSAGE_SELF)
    time.sleep(_IDLE_S)
    return meter.read().other_cpu_s / _IDLE_S


@pytest.fixture
def tell(
    watched: bool,  # noqa: FBT001 - a fixture
    idle_cpu_ratio: float,
) -> Callable[[str, Spent], None]:
    """Return what prints the figures of a way."""

    def say(way: str, spent: Spent) -> None:
        node_s = (spent.other_cpu_s - idle_cpu_ratio * spent.wall_s) / COUNT
        print(
            f"\n{way}, {'watched' if watched else 'work alone'}: {spent.wall_s:.0f} s, "
            f"{spent.cpu_s / COUNT:.3f} s of CPU a node on the controller, {node_s:.2f} on it, "
            f"{spent.wire_bytes / COUNT / 1000:.0f} kB a node on the wire"
        )

    return say


@pytest.mark.parametrize("shares", [SHARES, ()], ids=["in waves", "one, then all"])
def test_ours(
    fleet: NodeFleet,
    tmp_path: Path,
    tell: Callable[[str, Spent], None],
    shares: tuple[float, ...],
) -> None:
    catalog = Catalog([newer(fleet)], [], tmp_path)
    record = tmp_path / "record"
    cost = measured_rollout(fleet, catalog, record, parallel=PARALLEL, shares=shares)
    assert cost.states == {"success": COUNT}
    tell(f"ours, {'in waves' if shares else 'one node, then all'}", cost.spent)


@pytest.mark.usefixtures("watched")
def test_the_command(fleet: NodeFleet, tmp_path: Path) -> None:
    """The whole program as a fleet keeper starts it, for its memory."""
    options = fleet.station(tmp_path, Register(tmp_path / "register.db"))
    options += ["--soak=1", "--confirm-within=300", "--wave-soak=0", "--json"]
    options += [f"--parallel={PARALLEL}", f"--record={tmp_path / 'record'}"]
    command = [sys.executable, "-m", "provisioning", "update", str(newer(fleet)), *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    highest, meter = 0, Meter(resource.RUSAGE_CHILDREN)
    with (tmp_path / "out").open("wb") as out:
        running = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=out)
        while running.poll() is None:
            highest = highest_kib(running.pid) or highest
            time.sleep(0.2)
    spent = meter.read()
    assert running.returncode == 0, (tmp_path / "out").read_text()[-2000:]
    assert json.loads((tmp_path / "out").read_text())["states"]["success"] == COUNT
    print(
        f"\nsimpul update, {COUNT} nodes in waves, one site each: {spent.wall_s:.0f} s, "
        f"{spent.cpu_s / COUNT:.3f} s of CPU a node with its start, "
        f"{highest / 1024:.0f} MiB at most"
    )


@pytest.mark.parametrize(("forks", "pipelined"), [(5, False), (5, True), (25, True), (50, True)])
def test_ansible(
    fleet: NodeFleet,
    tmp_path: Path,
    tell: Callable[[str, Spent], None],
    forks: int,
    pipelined: bool,  # noqa: FBT001 - a parameter
) -> None:
    spent = Peers(fleet, tmp_path).ansible(newer(fleet), forks, pipelined=pipelined)
    tell(f"Ansible, {forks} forks, {'' if pipelined else 'not '}pipelined, all at once", spent)


def test_ansible_pull(fleet: NodeFleet, tmp_path: Path, tell: Callable[[str, Spent], None]) -> None:
    bundle = newer(fleet)
    release = release_hash(read_bundle(bundle).manifest_text)
    tell("ansible-pull, 50 at once", Peers(fleet, tmp_path).ansible_pull(bundle, release, 50))


@needs_peers
def test_mitogen(fleet: NodeFleet, tmp_path: Path, tell: Callable[[str, Spent], None]) -> None:
    tell("Mitogen, 50 forks", Peers(fleet, tmp_path).mitogen(PEERS, newer(fleet), 50))


@needs_peers
def test_pyinfra(fleet: NodeFleet, tmp_path: Path, tell: Callable[[str, Spent], None]) -> None:
    bundle = newer(fleet)
    release = release_hash(read_bundle(bundle).manifest_text)
    tell("pyinfra, 50 at once", Peers(fleet, tmp_path).pyinfra(PEERS, bundle, release, 50))
