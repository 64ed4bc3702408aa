"""Boots flashed cards in QEMU, and comes to them as their technician does: by their host key."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.mosquitto import Mosquitto
from services.office import Office, at_broker
from services.ports import free_port

from provisioning.authority.authority import Authority
from provisioning.enrol.connection import Reach, Trust, pinned, run_on
from provisioning.enrol.enrol import known_keys
from provisioning.enrol.find import wait_for_node
from provisioning.image.boot.board import Board, Line
from provisioning.image.boot.qemu import BROKER_ADDRESS, Machine
from provisioning.inventory import Node

BOOT_SECONDS_MAX = 1200
SETTINGS = """\
[node]
name = "{{ inventory_hostname }}"

[uplink]
brokers = ["%s"]
ca_file = "/etc/simpul/identity/ca.pem"
certificate_file = "/etc/simpul/identity/mqtt.pem"
key_file = "/etc/simpul/identity/mqtt.key"

[health]
measure_interval_seconds = 5
"""
PLAYBOOK = """\
- name: Give the node its settings
  hosts: nodes
  gather_facts: false
  tasks:
    - name: Write the settings
      ansible.builtin.template:
        src: node.toml
        dest: /etc/simpul/node.toml
        mode: "0644"
        validate: /opt/simpul/current/bin/simpul-node check %s
    - name: Start the agent
      ansible.builtin.systemd_service:
        name: simpul-node.service
        state: restarted
"""


def write_inventory(folder: Path, names: tuple[str, ...]) -> None:
    """Write an inventory of these nodes."""
    lines = "\n".join(names)
    python = "ansible_python_interpreter=/usr/bin/python3"
    (folder / "inventory.ini").write_text(
        f"[pasar]\n{lines}\n[nodes:children]\npasar\n[nodes:vars]\n{python}\n"
    )


def write_playbook(folder: Path, broker: Mosquitto) -> None:
    """Write a playbook that gives a node the settings with which it comes to `broker`."""
    (folder / "node.toml").write_text(SETTINGS % f"mqtts://{BROKER_ADDRESS}:{broker.port}")
    (folder / "site.yml").write_text(PLAYBOOK % "%s")


@dataclass(frozen=True, slots=True)
class Booted:
    """A node that runs from its card."""

    name: str
    board: Board
    port: int
    authority: Authority
    key: Path
    started_mono: float

    def seconds(self) -> float:
        """Return how long it has been on."""
        return time.monotonic() - self.started_mono

    def await_flashed(self) -> str:
        """Return the host key with which it answers, one that the register has of its card."""
        node = Node(name=self.name)
        keys = known_keys(self.authority.register, node)
        _, shown = wait_for_node(
            node, keys, address="127.0.0.1", port=self.port, timeout_s=BOOT_SECONDS_MAX
        )
        return shown

    def ask(self, shown: str, *command: str) -> str:
        """Run a command as root while the node is believed by the key `shown` alone."""
        return self._run(pinned(self.name, shown, self.authority.krl()), command)

    def ask_certified(self, *command: str) -> str:
        """Run a command as root while the node is believed by its certificate alone."""
        authority = self.authority
        trust = Trust(known_hosts=authority.known_hosts(), krl=authority.krl())
        return self._run(trust, command)

    def enrol(
        self, office: Office, broker: Mosquitto, *, timeout_s: float = BOOT_SECONDS_MAX
    ) -> subprocess.CompletedProcess[str]:
        """Run `simpul enrol` to its checklist, as at the pole."""
        return office.simpul(
            *("enrol", self.name, "--address", "127.0.0.1", "--port", self.port),
            *("--identity", self.key, "--passphrase-file", "passphrase"),
            *("--playbook", "site.yml", *at_broker(office.access(broker))),
            *("--timeout", timeout_s, "--settle", 0, "--json"),
            timeout_s=3 * BOOT_SECONDS_MAX,
        )

    def _run(self, trust: Trust, command: tuple[str, ...]) -> str:
        reach = Reach(host="127.0.0.1", port=self.port, user="root", identity_file=str(self.key))
        return run_on(reach, self.name, trust, [*command]).decode().strip()


@contextmanager
def booted(
    card: Path, name: str, *, broker: Mosquitto, authority: Authority, key: Path
) -> Iterator[Booted]:
    """Switch on a board with `card` in it; the guest comes to `broker` at BROKER_ADDRESS.

    What its console says is kept beside the card.
    """
    port = free_port()
    at = f"127.0.0.1:{broker.port}"
    machine = Machine(broker=at, forwards=((port, 22),))
    with card.with_suffix(".console").open("w", buffering=1) as console:

        def keep(line: Line) -> None:
            console.write(f"{line.boot} {line.at_s:7.2f}  {line.text}\n")

        with Board(card, machine, listen=keep) as board:
            yield Booted(name, board, port, authority, key, time.monotonic())


def outcome(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Return the checklist that `simpul enrol` ended with: what -> verdict."""
    assert done.returncode in {0, 3}, done.stderr
    return {check["key"]: check["verdict"] for check in json.loads(done.stdout)["checks"]}
