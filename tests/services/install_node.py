"""Makes a node below a folder, and releases whose programs behave well or badly, for tests."""

from dataclasses import dataclass
from pathlib import Path

from services.agent_service import ProcessService
from services.releases import SITE, Signers, small_bundle

from node.install.machine import Machine, Wishes
from node.install.places import Places

GOOD = 'echo > "$READY"; exec sleep 1000'
PROGRAM = """#!/bin/sh
case $1 in
    check) {check} ;;
    agent) {agent} ;;
esac
"""
ALONE = Wishes(confirm_within_s=0, soak_s=0, patience_s=1)
AWAIT = Wishes(confirm_within_s=600, soak_s=0, patience_s=1)


@dataclass(slots=True)
class Node:
    """A node whose root is a folder."""

    root: Path
    signers: Signers
    service: ProcessService
    bundles: Path

    @property
    def places(self) -> Places:
        """Where its releases lie."""
        return Places(self.root)

    @property
    def machine(self) -> Machine:
        """What the installer works on."""
        return Machine(self.places, self.service)

    def bundle(self, counter: int, agent: str = GOOD, *, check: str = "exit 0") -> Path:
        """Make a release whose program does that."""
        program = PROGRAM.format(check=check, agent=agent).encode()
        files = {
            "bin/simpul-node": program,
            f"{SITE}/node/shared.py": b'"""The same in every release."""\n' * 50,
            f"{SITE}/node/version.py": f"VERSION = {counter}\n".encode(),
        }
        return small_bundle(self.bundles, files, counter=counter, signers=self.signers.keys[:2])

    def running(self) -> str:
        """Return the hash that `current` points at; empty without one."""
        return self.places.current.resolve().name if self.places.current.is_symlink() else ""


def make_node(folder: Path) -> Node:
    """Make a node in `folder`, with settings and trust but without a release."""
    root, bundles = folder / "root", folder / "bundles"
    bundles.mkdir()
    places = Places(root)
    places.trust.parent.mkdir(parents=True)
    signers, service = Signers(), ProcessService(places)
    places.trust.write_bytes(signers.trust_text)
    places.settings.write_text(
        f'[node]\nname = "pasar-horas"\nstate_directory = "{root}/state"\n'
        '[uplink]\nbrokers = ["mqtt://127.0.0.1:1883"]\n'
    )
    return Node(root, signers, service, bundles)
