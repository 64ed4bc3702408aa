"""By what Ansible believes a machine, seen at a real sshd: the authority, and what it took back."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from services.sshd import Sshd, sshd_missing

from provisioning.authority.authority import Authority
from provisioning.register import Register

pytestmark = pytest.mark.skipif(sshd_missing(), reason="needs root and openssh-server")
ROOT = Path(__file__).parents[2]
NODE = "pasar-horas"
PASSPHRASE = b"kuda lumping menari"


class Office:
    """The folder of the inventory, with what is published, and a technician's key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder / "authority", Register(folder / "register.db"))
        self.authority.init(PASSPHRASE)
        (folder / "group_vars").symlink_to(ROOT / "group_vars")
        self.key = folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True)
        signer = self.authority.unlock(PASSPHRASE, "ssh-user")
        public = self.key.with_name("key.pub").read_text()
        certificate = signer.technician("ayu", public, ["provisioner"], 8)
        self.key.with_name("key-cert.pub").write_text(certificate)

    def publish(self) -> None:
        (self.folder / "published").mkdir(exist_ok=True)
        for name, content in self.authority.publish(PASSPHRASE).items():
            (self.folder / "published" / name).write_bytes(content)

    def reaches(self, sshd: Sshd, **told: object) -> subprocess.CompletedProcess[str]:
        """Have Ansible run a command on the node."""
        where = f"{NODE} ansible_host=127.0.0.1 ansible_port={sshd.port}"
        (self.folder / "inventory.ini").write_text(f"[nodes]\n{where}\n[hub]\npusat\n")
        line = [Path(sys.executable).with_name("ansible"), NODE, "-i", "inventory.ini"]
        line += [f"--private-key={self.key}", "-m", "ansible.builtin.raw", "-a", "echo in"]
        line += ["-e", json.dumps(told)]
        # One connection for each: a shared one outlives what was believed as it began.
        environment = {**os.environ, "ANSIBLE_SSH_ARGS": "-o ControlMaster=no", "HOME": "/nowhere"}
        return subprocess.run(
            line, check=False, cwd=self.folder, env=environment, capture_output=True, text=True
        )


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


@pytest.fixture
def sshd(office: Office, tmp_path: Path) -> Iterator[Sshd]:
    authority = office.authority
    made = Sshd(tmp_path / "node", authority.bundle("ssh-user"), authority.krl(), "provisioner")
    made.make_host_key()
    public = made.host_key.with_name(f"{made.host_key.name}.pub").read_text()
    certificate = made.host_key.with_name(f"{made.host_key.name}-cert.pub")
    certificate.write_text(authority.unlock(PASSPHRASE, "ssh-host").ssh_host(NODE, public))
    authority.register.record_host_key(NODE, " ".join(public.split()[:2]), "confirmed")
    with made.config.open("a") as config:
        config.write(f"HostCertificate {certificate}\n")
    with made:
        yield made


def test_a_node_that_was_revoked_is_not_spoken_to(office: Office, sshd: Sshd) -> None:
    office.publish()
    reached = office.reaches(sshd)
    assert reached.returncode == 0, reached.stdout + reached.stderr
    office.authority.revoke(NODE)
    assert office.reaches(sshd).returncode == 0, "the list is not published yet"
    office.publish()
    refused = office.reaches(sshd)
    assert refused.returncode != 0
    assert "revoked" in refused.stdout + refused.stderr
    # But for who takes a node down that is revoked first.
    plays = yaml.safe_load((ROOT / "playbooks/decommission.yml").read_text())
    (clear,) = [play for play in plays if play["name"] == "Clear the node"]
    told = {name: text for name, text in clear["vars"].items() if name.startswith("ssh_")}
    assert office.reaches(sshd, **told).returncode == 0


def test_where_nothing_was_taken_back_yet_no_list_is_needed(office: Office, sshd: Sshd) -> None:
    """Stations that published before there was a list, and a missing one would refuse everybody."""
    office.publish()
    (office.folder / "published/ssh-revoked.krl").unlink()
    reached = office.reaches(sshd)
    assert reached.returncode == 0, reached.stdout + reached.stderr
