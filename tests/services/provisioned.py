"""Makes the station of a small city: authority, inventory, signed releases; and runs playbooks.

The city's hub and its one node are the same system, reached over SSH under both names.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import CertificateSigningRequestBuilder, Name, NameAttribute
from cryptography.x509.oid import NameOID
from services.releases import Signers

from provisioning.authority.authority import Authority
from provisioning.authority.signer import Signer
from provisioning.register import Register
from provisioning.release.build import parse_target
from provisioning.release.hub import build_hub_release
from provisioning.release.sign import sign_bundle

ROOT = Path(__file__).parents[2]
NODE = "taman-bunga"
HUB = "pusat"
OPERATOR = "kantor"
_PASSPHRASE = b"correct horse battery"
_RECAP = re.compile(
    r"^(?P<host>\S+)\s+: ok=(?P<ok>\d+)\s+changed=(?P<changed>\d+)\s+"
    r"unreachable=(?P<unreachable>\d+)\s+failed=(?P<failed>\d+)",
    re.MULTILINE,
)
_INVENTORY = f"""\
[hub]
{HUB} ansible_host=127.0.0.1
[taman_bunga]
{NODE} ansible_host=127.0.0.1 title="Taman Bunga"
[nodes:children]
taman_bunga
[all:vars]
connection_timeout_seconds=30
"""
_HERE = "{{ inventory_dir }}"
# One sshd for both hosts: it shows the node's certificate.
_SSH = f"""\
ansible_ssh_common_args: >-
  -o HostKeyAlias={NODE}
  -o UserKnownHostsFile="{_HERE}/published/ssh-known-hosts {_HERE}/known"
"""
_HOSTS = {
    HUB: f"""\
{_SSH}mosquitto_names: [localhost, 127.0.0.1]
mosquitto_operators: [{OPERATOR}]
mosquitto_passphrase_file: "{_HERE}/passphrase"
""",
    NODE: f"""\
{_SSH}enrol_passphrase_file: "{_HERE}/passphrase"
agent_camera_adapter: rendered
agent_camera_width: 320
agent_camera_height: 192
""",
}


@dataclass(frozen=True, slots=True)
class Played:
    """How a playbook ended: host -> tasks changed, and all that Ansible said."""

    status: int
    changed: dict[str, int]
    said: str


class Station:
    """The folder of the controller, with everything but the machines."""

    def __init__(self, folder: Path) -> None:
        """Make keys, authority and inventory in `folder`."""
        self.folder = folder
        self.key = folder / "key"
        folder.mkdir(parents=True)
        for name in ("key", "host"):
            _call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
        passphrase = folder / "passphrase"
        passphrase.write_bytes(_PASSPHRASE + b"\n")
        passphrase.chmod(0o600)
        self.authority = Authority(folder / "authority", Register(folder / "register.db"))
        self.authority.init(_PASSPHRASE)
        self.publish()
        signer = self.authority.unlock(_PASSPHRASE, "ssh-user")
        public = (folder / "key.pub").read_text()
        certificate = signer.technician("tester", public, ["technician", "provisioner"], 8)
        (folder / "key-cert.pub").write_text(certificate + "\n")
        host = (folder / "host.pub").read_text()
        (folder / "known").write_text(f"{NODE} {' '.join(host.split()[:2])}\n")
        (folder / "inventory.ini").write_text(_INVENTORY)
        (folder / "group_vars").symlink_to(ROOT / "group_vars")
        (folder / "host_vars").mkdir()
        for name, text in _HOSTS.items():
            (folder / "host_vars" / f"{name}.yml").write_text(text)
        (folder / "masks").mkdir()
        (folder / "masks" / f"{NODE}.toml").write_text("nothing_to_mask = true\n")

    @property
    def prepare(self) -> str:
        """What a stock Debian is given so that this station comes in: sh, in the root's folder."""
        return f"""
mkdir -p root/.ssh run/sshd
chmod 700 root/.ssh
cp {self.folder}/key.pub root/.ssh/authorized_keys
rm -f etc/ssh/ssh_host_*
cp {self.folder}/host etc/ssh/ssh_host_ed25519_key
cp {self.folder}/host.pub etc/ssh/ssh_host_ed25519_key.pub
# As on a machine that last saw the archive long ago: what is there has to be enough.
touch --date=@0 var/lib/apt/lists
"""

    @cached_property
    def signers(self) -> Signers:
        """Who signs releases."""
        return Signers()

    def release(self, counter: int) -> None:
        """Build and sign a release for hub and node alike: one system has one release."""
        releases = self.folder / "releases"
        target = parse_target("x86_64/3.13")
        extras = ("node", "hub")
        built = build_hub_release(
            releases, target, ROOT, counter=counter, version="0.1.0", extras=extras
        )
        for key in self.signers.keys[:2]:
            sign_bundle(built.bundle, key)
        shutil.copy(built.bundle, releases / built.bundle.name.replace("simpul-hub", "simpul"))
        (self.folder / "release-keys.toml").write_bytes(self.signers.trust_text)

    def publish(self) -> None:
        """Write what brokers, nodes and stations need."""
        published = self.folder / "published"
        published.mkdir(exist_ok=True)
        for name, content in self.authority.publish(_PASSPHRASE).items():
            (published / name).write_bytes(content)

    def signer(self) -> Signer:
        """Return the unlocked authority."""
        return self.authority.unlock(_PASSPHRASE, "mqtt")

    def client(self, name: str) -> dict[str, str]:
        """Give `name` a certificate for the broker; return mosquitto_pub's options for it."""
        key = ec.generate_private_key(ec.SECP256R1())
        named = Name([NameAttribute(NameOID.COMMON_NAME, name)])
        request = CertificateSigningRequestBuilder().subject_name(named).sign(key, hashes.SHA256())
        certificate = self.signer().mqtt_client(name, request.public_bytes(Encoding.PEM))
        files = {"--cert": self.folder / f"{name}.pem", "--key": self.folder / f"{name}.key"}
        files["--cert"].write_bytes(certificate)
        files["--key"].write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        authority = {"--cafile": self.folder / "published/mqtt-ca.pem"}
        return {option: str(file) for option, file in {**authority, **files}.items()}

    def play(self, playbook: str, *words: str, within: list[str]) -> Played:
        """Run a playbook of the project; `within` stands before the command (a network)."""
        line = [*within, str(Path(sys.executable).with_name("ansible-playbook"))]
        line += [str(ROOT / "playbooks" / playbook), "-i", str(self.folder / "inventory.ini")]
        done = self._run([*line, f"--private-key={self.key}", *words])
        changed = {each["host"]: int(each["changed"]) for each in _RECAP.finditer(done.stdout)}
        return Played(done.returncode, changed, done.stdout + done.stderr)

    def simpul(self, *words: str, within: list[str]) -> subprocess.CompletedProcess[str]:
        """Run the command `simpul` at this station; `within` stands before it (a network)."""
        return self._run([*within, sys.executable, "-m", "provisioning", *words])

    def _run(self, line: list[str]) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "ANSIBLE_HOME": str(self.folder / "a"),
            # Else a connection left open to another city's hub would be taken for this one's.
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.folder / "c"),
            "ANSIBLE_NOCOLOR": "1",
        }
        return subprocess.run(
            line, check=False, cwd=ROOT, env=environment, capture_output=True, text=True
        )


def _call(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
