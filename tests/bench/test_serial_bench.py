"""What plain Ansible with `serial` does to a fleet with each kind of bad release.

The play is the one that people write: a canary, one more, the rest; stop at the first failure;
after the restart the unit must be active. What ours does with the same releases is told by
tests/provisioning/update/test_bad_releases.py.
"""

import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from services import bad_releases as bad
from services.mosquitto import Mosquitto, mosquitto_program
from services.node_fleet import CRASHES, NodeFleet, fleet_missing
from services.waiting import until

from node.install.lay_down import lay_down
from node.messages import parse_topic
from provisioning.listen import BrokerAccess, listening
from provisioning.update.errors import UnreachableError
from provisioning.update.link import connected

pytestmark = [
    pytest.mark.skipif(bool(fleet_missing()), reason=fleet_missing()),
    pytest.mark.skipif(mosquitto_program() is None, reason="mosquitto is not installed"),
    pytest.mark.bench,
    pytest.mark.timeout(900),
]
COUNT = 4
WATCHED_S = 60
HEARD_S = 15
PLAY = """
- hosts: all
  gather_facts: false
  serial: [1, 1, "100%"]
  max_fail_percentage: 0
  tasks:
    - name: Make a folder for the release
      ansible.builtin.file: {path: "/opt/simpul/releases/{{ release }}", state: directory}
    - name: Bring the release
      ansible.builtin.unarchive: {src: release.tar, dest: "/opt/simpul/releases/{{ release }}"}
    - name: Point at it
      ansible.builtin.file:
        {src: "releases/{{ release }}", dest: /opt/simpul/current, state: link, force: true}
    - name: Restart the agent
      ansible.builtin.command: systemctl restart simpul-node.service
    - name: Come in anew
      ansible.builtin.meta: reset_connection
    - name: Wait until it runs
      ansible.builtin.command: systemctl show simpul-node.service
      register: shown
      until: "'ActiveState=active' in shown.stdout"
      retries: 10
      delay: 2
"""
CASES = {
    "crashes": CRASHES,
    "hangs": bad.HANGS,
    "eats memory": bad.EATS_MEMORY,
    "reaches no broker": bad.REACHES_NO_BROKER,
    "kills the network": bad.KILLS_THE_NETWORK,
    "kills SSH": bad.KILLS_SSH,
    "refuses settings": bad.REFUSES_SETTINGS,
    "crashes later": bad.crashes_after(30),
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeFleet]:
    folder = tmp_path_factory.mktemp("serial")
    with (
        Mosquitto(folder / "broker") as broker,
        NodeFleet(folder / "nodes", COUNT, f"mqtt://127.0.0.1:{broker.port}") as fleet,
    ):
        yield fleet


def reached(fleet: NodeFleet, name: str) -> bool:
    try:
        with connected(fleet.ways()[name]) as session:
            return session.status().active is True
    except UnreachableError:
        return False


def well(fleet: NodeFleet) -> set[str]:
    """Return the nodes that the broker hears by and by and that SSH opens, as people need them."""
    heard: set[str] = set()

    def hear(topic: str, _: bytes) -> None:
        if parsed := parse_topic(topic):
            heard.add(parsed[0])

    with listening(BrokerAccess(url=fleet.broker), ("health",), hear):
        time.sleep(HEARD_S)
    return {name for name in heard if reached(fleet, name)}


def play(fleet: NodeFleet, folder: Path, release: str) -> bool:
    """Play; tell whether Ansible found that all was well."""
    nodes = fleet.nodes.items()
    known = [f"[{node.address}]:{node.port} {node.host_key}\n" for _, node in nodes]
    (folder / "known").write_text("".join(known))
    hosts = [
        f"{name} ansible_host={node.address} ansible_port={node.port}\n" for name, node in nodes
    ]
    (folder / "inventory.ini").write_text("".join(hosts))
    (folder / "play.yml").write_text(PLAY)
    line = [str(Path(sys.executable).parent / "ansible-playbook"), "play.yml"]
    line += ["-i", "inventory.ini", "-u", "root", "-e", f"release={release}"]
    line += ["--private-key", str(fleet.folder / "user"), "--timeout", "10"]
    environment = {
        **os.environ,
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_SSH_ARGS": f"-o UserKnownHostsFile={folder / 'known'}",
        "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
        "ANSIBLE_HOME": str(folder / "a"),
    }
    done = subprocess.run(
        line, check=False, cwd=folder, env=environment, capture_output=True, text=True
    )
    assert "PLAY RECAP" in done.stdout, done.stdout + done.stderr
    return done.returncode == 0


@pytest.mark.parametrize("case", CASES)
def test_a_bad_release_in_batches(fleet: NodeFleet, case: str, tmp_path: Path) -> None:
    until(lambda: len(well(fleet)) == COUNT, "all nodes to be well", seconds=300)
    before = {
        name: str((node.folder / "opt/current").readlink()) for name, node in fleet.nodes.items()
    }
    bundle = fleet.bundle(10 + list(CASES).index(case), CASES[case])
    release = lay_down(bundle, tmp_path / "root")
    with tarfile.open(tmp_path / "release.tar", "w") as tar:
        tar.add(tmp_path / "root/opt/simpul/releases" / release, ".")
    content = play(fleet, tmp_path, release)
    had = [name for name, node in fleet.nodes.items() if node.current() == release]
    time.sleep(WATCHED_S - HEARD_S)
    print(
        f"\n{case}: {len(had)} of {COUNT} nodes had it, Ansible was "
        f"{'content' if content else 'not content'}; {len(well(fleet))} well {WATCHED_S} s later"
    )
    assert had
    restore(fleet, before)


def restore(fleet: NodeFleet, before: dict[str, str]) -> None:
    """Do by hand what nobody does on a pole."""
    for name, node in fleet.nodes.items():
        node.stop()
        link = node.folder / "opt/current"
        link.unlink()
        link.symlink_to(before[name])
        node.start()
