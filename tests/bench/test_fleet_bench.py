"""Figures of a rollout over a large fleet, beside what Ansible needs for the same bundle."""

import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from services.fleet_rollout import cpu_s, measured_rollout
from services.node_fleet import LIGHT, NodeFleet, fleet_missing

from provisioning.update.bundles import Catalog

COUNT = int(os.environ.get("SIMPUL_BENCH_NODES", "100"))
PARALLEL = 50
pytestmark = [
    pytest.mark.bench,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(bool(fleet_missing()), reason=fleet_missing()),
]
# The same steps, as one writes them with Ansible's own modules; nothing of it calls fsync(2).
PLAIN = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Make a folder for the bundle
      ansible.builtin.file: {path: /opt/simpul/incoming, state: directory, mode: "0700"}
    - name: Bring the bundle
      ansible.builtin.copy:
        src: "{{ bundle }}"
        dest: /opt/simpul/incoming/new.bundle
        mode: "0600"
    - name: Install it
      ansible.builtin.command:
        cmd: >-
          /opt/simpul/current/bin/simpul-node install /opt/simpul/incoming/new.bundle
          --confirm-within 300 --soak 1 --json
      register: outcome
    - name: Come in anew
      ansible.builtin.meta: reset_connection
    - name: Confirm it
      ansible.builtin.command:
        argv: [/opt/simpul/current/bin/simpul-node, install, confirm, "{{ release }}", --json]
      vars:
        release: "{{ (outcome.stdout | from_json).release }}"
    - name: Clean up
      ansible.builtin.file: {path: /opt/simpul/incoming/new.bundle, state: absent}
"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeFleet]:
    folder = tmp_path_factory.mktemp("fleet")
    begun_s = time.monotonic()
    with NodeFleet(folder / "nodes", COUNT, "mqtt://127.0.0.1:1", before=LIGHT) as fleet:
        print(f"\n{COUNT} nodes up in {time.monotonic() - begun_s:.0f} s")
        yield fleet


def test_ours(fleet: NodeFleet, tmp_path: Path) -> None:
    catalog = Catalog([fleet.bundle(2)], [], tmp_path)
    cost = measured_rollout(fleet, catalog, tmp_path / "record", parallel=PARALLEL)
    assert cost.states == {"success": COUNT}
    print(f"\nours, in waves: {cost.wall_s:.0f} s, {cost.cpu_s_per_node:.3f} s of CPU a node,")
    print(f"{cost.rss_mib:.0f} MiB at most, this test included")


@pytest.mark.parametrize("forks", [25, 50])
def test_ansible(fleet: NodeFleet, tmp_path: Path, forks: int) -> None:
    bundle = fleet.bundle(10 + forks)
    known = [f"[127.0.0.1]:{node.port} {node.host_key}" for node in fleet.nodes.values()]
    (tmp_path / "known").write_text("\n".join(known) + "\n")
    hosts = [
        f"{name} ansible_host=127.0.0.1 ansible_port={node.port}"
        for name, node in fleet.nodes.items()
    ]
    (tmp_path / "inventory.ini").write_text("\n".join(hosts) + "\n")
    (tmp_path / "play.yml").write_text(PLAIN)
    ansible = shutil.which("ansible-playbook", path=str(Path(sys.executable).parent))
    assert ansible
    line = [ansible, str(tmp_path / "play.yml"), "-i", str(tmp_path / "inventory.ini")]
    line += ["-e", f"bundle={bundle}", "--forks", str(forks), "-u", "root"]
    line += ["--private-key", str(fleet.folder / "user")]
    options = f"-o UserKnownHostsFile={tmp_path / 'known'} -o ControlMaster=auto"
    environment = {
        **os.environ,
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_SSH_ARGS": f"{options} -o ControlPersist=60s",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(tmp_path / "c"),
        "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
        "ANSIBLE_HOME": str(tmp_path / "a"),
    }
    begun_s, before_s = time.monotonic(), cpu_s(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        line, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    wall_s, used_s = time.monotonic() - begun_s, cpu_s(resource.RUSAGE_CHILDREN) - before_s
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    print(f"\nAnsible, {forks} forks, pipelined, all at once: {wall_s:.0f} s,")
    print(f"{used_s / COUNT:.3f} s of CPU a node on the controller")
