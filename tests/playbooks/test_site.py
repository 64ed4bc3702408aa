"""The site that a play gives a node is the one that the rest of Simpul knows it by."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from provisioning.inventory import nodes

ROOT = Path(__file__).parents[2]
# A district around a site, what nodes have, and a group of a person's own beside them.
INVENTORY = """
[lapangan_merdeka]
adam-malik
[pasar_horas]
pasar-horas
[kecamatan_barat:children]
lapangan_merdeka
[nodes:children]
kecamatan_barat
pasar_horas
[cameras:children]
kecamatan_barat
pasar_horas
[hotspots:children]
kecamatan_barat
pasar_horas
[bench]
pasar-horas
[hub]
pusat
"""
PLAY = """
- hosts: nodes
  connection: local
  gather_facts: false
  roles:
    - {role: agent, tags: [never]}
  tasks:
    - ansible.builtin.debug:
        msg: "{{ inventory_hostname }} stands at [{{ agent_node_site }}]"
"""
SAID = re.compile(r"(\S+) stands at \[(\S*)\]")


def play(folder: Path, inventory: str, seed: int) -> subprocess.CompletedProcess[str]:
    """Have Ansible say every node's site, as this tree's own configuration has it work."""
    (folder / "inventory.ini").write_text(inventory)
    (folder / "play.yml").write_text(PLAY)
    line = [Path(sys.executable).with_name("ansible-playbook"), folder / "play.yml"]
    environment = {
        **os.environ,
        "PYTHONHASHSEED": str(seed),
        "ANSIBLE_HOME": str(folder / "a"),
        "ANSIBLE_NOCOLOR": "1",
    }
    return subprocess.run(
        [*line, "-i", folder / "inventory.ini", "-e", "agent_uplink_brokers=[]"],
        check=False,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_nodes_site_is_the_same_in_every_run(tmp_path: Path, seed: int) -> None:
    done = play(tmp_path, INVENTORY, seed)
    assert done.returncode == 0, done.stdout + done.stderr
    sites = dict(SAID.findall(done.stdout))
    assert sites == {node.name: node.site for node in nodes(tmp_path / "inventory.ini")}
    assert sites == {"adam-malik": "lapangan-merdeka", "pasar-horas": "pasar-horas"}


def test_a_node_at_two_sites_is_not_set_up(tmp_path: Path) -> None:
    done = play(tmp_path, INVENTORY + "[nodes:children]\nbench\n", seed=1)
    assert done.returncode != 0
    assert "pasar-horas stands at two sites, [bench] and [pasar_horas]" in done.stdout + done.stderr
