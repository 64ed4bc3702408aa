"""Figures of an update: what one node costs the controller, and what the installer costs a node."""

import resource
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import msgspec
import pytest
from services.fleet_rollout import measured_rollout
from services.mosquitto import Mosquitto
from services.node_fleet import NodeFleet, fleet_missing
from services.releases import Signers
from services.spent import Meter
from services.waiting import until

from node.install.bundle import read_bundle
from node.install.lay_down import lay_down
from provisioning.release.build import Recipe, Target, build_release
from provisioning.release.pack import make_delta, pack_tree
from provisioning.release.sign import sign_bundle
from provisioning.update.bundles import Catalog
from provisioning.update.link import connected

ROOT = Path(__file__).parents[2]
COUNT = 12

pytestmark = [
    pytest.mark.bench,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(fleet_missing()), reason=fleet_missing()),
]


def test_the_controller(tmp_path: Path) -> None:
    with (
        Mosquitto(tmp_path / "broker") as broker,
        NodeFleet(tmp_path / "nodes", COUNT, f"mqtt://127.0.0.1:{broker.port}") as fleet,
    ):
        ways = fleet.ways()

        def ready(name: str) -> bool:
            with connected(ways[name]) as session:
                return session.status().delivers is True

        for name in fleet.nodes:
            until(partial(ready, name), name, seconds=200)
        (base,) = (fleet.folder / "bundles-1").glob("*.bundle")
        catalog = Catalog([fleet.bundle(2)], [base], tmp_path)
        cost = measured_rollout(fleet, catalog, tmp_path / "record", parallel=6)
    assert cost.states == {"success": COUNT}
    print(f"\ncontroller: {cost.spent.cpu_s / COUNT:.3f} s of CPU per node,")
    print(
        f"{cost.spent.wall_s:.0f} s for {COUNT} nodes, "
        f"{cost.rss_mib:.0f} MiB at most, this test included"
    )


def test_the_node(tmp_path: Path) -> None:
    target = Target("x86_64", "3.11")
    recipe = Recipe(counter=1, version="0.1.0", video=False)
    (built,) = build_release(tmp_path, recipe, (target,), ROOT)
    root, tree, signers = tmp_path / "root", tmp_path / "tree", Signers()
    lay_down(built.bundle, root)
    shutil.copytree(root / "opt/simpul/current/", tree, symlinks=True)
    for name in ("bin/python", "manifest.json"):
        (tree / name).unlink()
    with (tree / "lib/python3.11/site-packages/node/agent.py").open("a") as file:
        file.write("# one more line\n")
    manifest = read_bundle(built.bundle).manifest
    newer = pack_tree(tree, tmp_path, msgspec.structs.replace(manifest, counter=2, files=()))
    for key in signers.keys[:2]:
        sign_bundle(newer.bundle, key)
    delta = make_delta(newer.bundle, built.bundle, tmp_path / "delta")
    trust = root / "etc/simpul/release-keys.toml"
    trust.parent.mkdir(parents=True)
    trust.write_bytes(signers.trust_text)
    whole_bytes, delta_bytes = newer.bundle.stat().st_size, delta.stat().st_size
    print(
        f"\none changed file: {delta_bytes} of {whole_bytes} bytes, {delta_bytes / whole_bytes:.2%}"
    )
    for file, name in ((delta, "delta"), (newer.bundle, "whole")):
        copy = tmp_path / f"root-{name}"
        shutil.copytree(root, copy, symlinks=True)
        command = [sys.executable, "-m", "node", "install", str(file), "--root", str(copy)]
        meter = Meter(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
        spent = meter.read()
        print(f"installer, {name}: {spent.cpu_s:.2f} s of CPU, {spent.wall_s:.1f} s")
