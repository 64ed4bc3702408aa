"""A node after its first boot from a flashed card, and the technician who enrols it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.box import Box

from provisioning.authority.authority import Authority
from provisioning.enrol.connection import Reach
from provisioning.enrol.enrol import Installed, enrol, known_keys
from provisioning.enrol.find import wait_for_node
from provisioning.inventory import Node
from provisioning.seed.seed import PROVISIONER, TECHNICIAN, Seed, seed_node


class Flashed:
    """A node in a box, its seed, and a station beside it with an authority and a certified key."""

    def __init__(self, box: Box, node: Node, seed: Seed, station: "Station") -> None:
        """Take what `flashed` has started."""
        self.box = box
        self.node = node
        self.seed = seed
        self.station = station

    @property
    def reach(self) -> Reach:
        """How the technician comes to it."""
        return Reach(host="127.0.0.1", port=self.box.port, identity_file=str(self.station.key))

    def enrol(self) -> Installed:
        """Find it and enrol it, as `simpul enrol` does."""
        authority = self.station.authority
        keys = known_keys(authority.register, self.node)
        where = {"address": "127.0.0.1", "port": self.box.port, "timeout_s": 30}
        _, shown = wait_for_node(self.node, keys, **where)  # type: ignore[arg-type]
        signer = authority.unlock(self.station.passphrase, "mqtt", "ssh-host")
        return enrol(authority, signer, self.node, self.reach, shown=shown, say=lambda _: None)


class Station:
    """The desk: the authority, its passphrase, and the technician's key with its certificate."""

    def __init__(self, authority: Authority, passphrase: bytes, folder: Path) -> None:
        """Make the technician's key in `folder` and certify it for both accounts."""
        self.authority = authority
        self.passphrase = passphrase
        self.key = folder / "id_ed25519"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True)
        signer = authority.unlock(passphrase, "ssh-user")
        public = self.key.with_name("id_ed25519.pub").read_text()
        certificate = signer.technician("ayu", public, [TECHNICIAN, PROVISIONER], 8)
        self.key.with_name("id_ed25519-cert.pub").write_text(certificate)


@contextmanager
def flashed(station: Station, node: Node, *, valid_hours: float = 24) -> Iterator[Flashed]:
    """Give a node that was flashed with a new seed and has booted once."""
    seed = seed_node(station.authority, node, valid_hours=valid_hours)
    with Box() as box:
        box.boot(seed.files)
        yield Flashed(box, node, seed, station)
