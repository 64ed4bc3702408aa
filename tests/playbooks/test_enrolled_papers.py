"""Whose a node's certificates are, by the role's own question: openssl and ssh-keygen answer."""

import subprocess
from pathlib import Path

import pytest

from provisioning.authority.authority import Authority
from provisioning.register import Register

PROGRAM = Path(__file__).parents[2] / "playbooks/roles/enrol/files/lasting"
NODE = "pasar-horas"
PASSPHRASE = b"kuda lumping menari"
BELIEVED = {"mqtt is believed", "ssh-host is believed", "of its key"}
NEWEST = {"mqtt is of the newest", "ssh-host is of the newest"}


class Node:
    """A node's papers in a folder, signed by an authority beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder / "authority", Register(folder / "register.db"))
        self.authority.init(PASSPHRASE)
        self.make_key()
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "host"]
        subprocess.run(keygen, check=True)

    def make_key(self) -> None:
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        line = ["openssl", "req", "-new", *curve, "-subj", f"/CN={NODE}", "-keyout", "mqtt.key"]
        made = subprocess.run(line, check=True, capture_output=True, cwd=self.folder)
        self.request = made.stdout

    def enrol(self) -> None:
        signer = self.authority.unlock(PASSPHRASE, "mqtt", "ssh-host")
        (self.folder / "mqtt.pem").write_bytes(signer.mqtt_client(NODE, self.request))
        certificate = signer.ssh_host(NODE, (self.folder / "host.pub").read_text())
        (self.folder / "host_ed25519_key-cert.pub").write_text(certificate)

    def says(self) -> set[str]:
        """Ask the node as the role does; return the lines of its answer that judge."""
        script = PROGRAM.read_text()
        for place in ("/etc/simpul/identity", "/etc/ssh/simpul"):
            script = script.replace(place, str(self.folder))
        believed = self.authority.bundle("mqtt") + self.authority.known_hosts()
        asked = subprocess.run(
            ["sh", "-c", script], input=believed, check=False, capture_output=True
        )
        return {*asked.stdout.decode().splitlines()} & (BELIEVED | NEWEST)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_papers_of_the_authority_are_its_own(node: Node) -> None:
    assert node.says() == set()
    node.enrol()
    assert node.says() == BELIEVED | NEWEST
    node.make_key()
    assert node.says() == (BELIEVED | NEWEST) - {"of its key"}


@pytest.mark.parametrize("kind", ["mqtt", "ssh-host"])
def test_a_rotation_is_told_and_its_end(node: Node, kind: str) -> None:
    node.enrol()
    node.authority.rotate(kind, PASSPHRASE)  # type: ignore[arg-type]
    assert node.says() == (BELIEVED | NEWEST) - {f"{kind} is of the newest"}
    node.authority.retire(kind)  # type: ignore[arg-type]
    gone = {f"{kind} is of the newest", f"{kind} is believed"}
    assert node.says() == (BELIEVED | NEWEST) - gone
    node.enrol()
    assert node.says() == BELIEVED | NEWEST
