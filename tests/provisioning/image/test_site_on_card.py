"""The city's own playbook sets up a node that runs from a card's image, and finds no fault again.

The root of such a node is read-only and has no apt: what works on a Debian may fail there.
"""

import base64
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from services.booted_nodes import Booted, booted, outcome
from services.flashed import Station
from services.mosquitto import Mosquitto, mosquitto_program
from services.office import ROOT, Office, at_broker

from provisioning.authority.authority import Authority
from provisioning.image.boot.birth import write_seed
from provisioning.image.boot.qemu import BROKER_ADDRESS
from provisioning.inventory import Node
from provisioning.seed.seed import seed_node

NODE = "taman-bunga"
pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(mosquitto_program() is None, reason="Mosquitto is not installed"),
]
INVENTORY = f"""\
[taman_bunga]
{NODE} title="Taman Bunga" tunnel_address=10.90.0.7
[nodes:children]
taman_bunga
[cameras:children]
taman_bunga
[hub]
pusat ansible_host={BROKER_ADDRESS}
[nodes:vars]
ansible_python_interpreter=/usr/bin/python3
"""
HOST = """\
agent_camera_adapter: rendered
agent_board_adapter: gpiozero
agent_board_lamp_pin: 17
agent_uplink_brokers: ["mqtts://%s:%d"]
agent_health_measure_interval_seconds: 5
"""


def write_city(folder: Path, broker: Mosquitto) -> None:
    """Write what an office keeps for its first node: no release is among it yet."""
    (folder / "inventory.ini").write_text(INVENTORY)
    (folder / "group_vars").symlink_to(ROOT / "group_vars")
    for name in ("host_vars", "masks", "tunnel"):
        (folder / name).mkdir()
    (folder / f"host_vars/{NODE}.yml").write_text(HOST % (BROKER_ADDRESS, broker.port))
    (folder / f"masks/{NODE}.toml").write_text("nothing_to_mask = true\n")
    public = X25519PrivateKey.generate().public_key().public_bytes_raw()
    (folder / "tunnel/pusat.pub").write_text(base64.b64encode(public).decode() + "\n")


def enrol(node: Booted, office: Office, broker: Mosquitto) -> subprocess.CompletedProcess[str]:
    """Run `simpul enrol` with the city's playbook, as at the pole."""
    return office.simpul(
        *("enrol", NODE, "--address", "127.0.0.1", "--port", node.port),
        *("--identity", node.key, "--passphrase-file", "passphrase"),
        *("--playbook", ROOT / "playbooks/site.yml", *at_broker(office.access(broker))),
        *("--settle", 0, "--json"),
        timeout_s=2400,
    )


def test_the_citys_playbook_sets_it_up(
    card: Path,
    authority: Authority,
    passphrase: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As in the project's own folder, where people run it.
    monkeypatch.setenv("ANSIBLE_CONFIG", str(ROOT / "ansible.cfg"))
    monkeypatch.setenv("ANSIBLE_NOCOLOR", "1")
    office = Office(tmp_path, passphrase, names=("127.0.0.1", BROKER_ADDRESS))
    station = Station(authority, passphrase, tmp_path)
    write_seed(card, seed_node(authority, Node(name=NODE)).files)
    with office.broker() as broker:
        write_city(tmp_path, broker)
        reach = {"broker": broker, "authority": authority, "key": station.key}
        with booted(card, NODE, **reach) as node:
            node.await_flashed()
            done = enrol(node, office, broker)
            assert outcome(done)["online"] == "good"
            # The hub's address is the hub's, wherever the node was reached.
            assert BROKER_ADDRESS in node.ask_certified("wg", "show", "all", "endpoints")
            again = play(node, tmp_path)
            assert re.search(r"ok=[1-9]\d+ +changed=0 +unreachable=0 +failed=0", again), again[
                -6000:
            ]


def play(node: Booted, folder: Path) -> str:
    """Play it again over the node's certificate alone; return what Ansible says."""
    where = f"-o HostName=127.0.0.1 -o Port={node.port}"
    line = [sys.executable, "-m", "ansible", "playbook", str(ROOT / "playbooks/site.yml")]
    line += ["--inventory", "inventory.ini", "--limit", NODE]
    line += [f"--private-key={node.key}", f"--ssh-extra-args={where}"]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr
