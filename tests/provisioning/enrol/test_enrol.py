"""A node enrolled end to end: real sshd, real keys, real agent, real Mosquitto with TLS."""

import base64
import json
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import msgspec
import pytest
from services.agent import AgentProcess
from services.mosquitto import Mosquitto, mosquitto_program
from services.sshd import Sshd, sshd_missing

from provisioning.authority.authority import Authority
from provisioning.authority.errors import TokenError
from provisioning.authority.tokens import token_hash, use_token
from provisioning.enrol.checklist import all_good, checklist
from provisioning.enrol.connection import Reach
from provisioning.enrol.enrol import Installed, enrol, known_keys
from provisioning.enrol.errors import EnrolError, NotFlashedError
from provisioning.enrol.find import wait_for_node
from provisioning.enrol.hear import listening_for
from provisioning.inventory import Node
from provisioning.listen import BrokerAccess
from provisioning.seed.seed import TOKEN_FILE, Seed, seed_node

pytestmark = pytest.mark.skipif(sshd_missing(), reason="needs root and openssh-server")
PASSPHRASE = b"kuda lumping menari"
NODE = Node(name="pasar-horas", title="Pasar Horas")
_NODE_PROGRAM = """\
import argparse, sys
from node.enrol.command import add_arguments, run
parser = argparse.ArgumentParser()
commands = parser.add_subparsers()
add_arguments(commands.add_parser("enrol"))
options = parser.parse_args([*sys.argv[1:], "--root", {root!r}])
code = run(options)
if options.step == "install":
    import os, signal
    os.kill({pid}, signal.SIGHUP)
sys.exit(code)
"""


class Flashed:
    """A node after its first boot: the seed's files in their places, and its sshd."""

    def __init__(self, directory: Path, authority: Authority, seed: Seed) -> None:
        self.authority = authority
        self.root = directory / "root"
        config = json.loads(seed.files["user-data"].split(b"\n", 1)[1])
        self.sshd = Sshd(self.root, authority.bundle("ssh-user"), authority.krl(), "technician")
        self.sshd.set_host_key(config["ssh_keys"]["ed25519_private"].encode())
        (self.root / "etc/hostname").write_text(f"{NODE.name}\n")
        for each in config["write_files"]:
            if each["path"] == TOKEN_FILE:
                self.token = self.root / TOKEN_FILE.lstrip("/")
                self.token.parent.mkdir(parents=True)
                self.token.write_bytes(base64.b64decode(each["content"]))
                self.token.chmod(int(each["permissions"], 8))
        self.seed_file = self.root / "boot/firmware/user-data"
        self.seed_file.parent.mkdir(parents=True)
        self.seed_file.write_bytes(seed.files["user-data"])
        self.key = directory / "technician"
        self.program = self.root / "simpul-node.py"

    def __enter__(self) -> Self:
        self.sshd.__enter__()
        self.program.write_text(_NODE_PROGRAM.format(root=str(self.root), pid=self.sshd.pid))
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True)
        public = self.key.with_name("technician.pub").read_text()
        signer = self.authority.unlock(PASSPHRASE)
        certificate = signer.technician("ayu", public, ["technician"], 8)
        self.key.with_name("technician-cert.pub").write_text(certificate)
        return self

    def __exit__(self, *_: object) -> None:
        self.sshd.__exit__()

    @property
    def reach(self) -> Reach:
        here = Path(__file__).parents[3]
        program = ("env", f"PYTHONPATH={here}", sys.executable, str(self.program))
        return Reach(
            host="127.0.0.1",
            port=self.sshd.port,
            user="root",
            identity_file=str(self.key),
            program=program,
        )

    def enrol(self) -> Installed:
        keys = known_keys(self.authority.register, NODE)
        _, shown = wait_for_node(NODE, keys, address="127.0.0.1", port=self.sshd.port, timeout_s=10)
        signer = self.authority.unlock(PASSPHRASE)
        return enrol(self.authority, signer, NODE, self.reach, shown=shown, say=lambda _: None)


@pytest.fixture
def flashed(authority: Authority, tmp_path: Path) -> Iterator[Flashed]:
    with Flashed(tmp_path / "node", authority, seed_node(authority, NODE)) as node:
        yield node


def test_a_node_is_enrolled_and_nothing_of_the_seed_lives_on(
    flashed: Flashed, authority: Authority
) -> None:
    size_bytes = flashed.seed_file.stat().st_size
    flashed_key = next(iter(authority.register.host_keys(NODE.name)))
    assert flashed.enrol().unscrubbed == ()
    assert authority.register.host_keys(NODE.name) != {flashed_key: "flashed"}
    assert list(authority.register.host_keys(NODE.name).values()) == ["confirmed"]
    assert not flashed.token.exists()
    assert flashed.seed_file.stat().st_size == size_bytes
    assert b"PRIVATE" not in flashed.seed_file.read_bytes()
    assert not flashed.sshd.host_key.exists()
    key = flashed.root / "etc/simpul/identity/mqtt.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_the_nodes_keys_and_the_passphrase_are_nowhere_else(
    flashed: Flashed, authority: Authority, tmp_path: Path
) -> None:
    token = flashed.token.read_bytes().strip()
    seen: set[bytes] = set()
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.002):
            for each in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(each.read_bytes())
                except OSError:
                    continue

    watcher = threading.Thread(target=look)
    watcher.start()
    flashed.enrol()
    done.set()
    watcher.join()
    assert any(b"ssh\0" in each for each in seen)
    keys = ("etc/simpul/identity/mqtt.key", "etc/ssh/simpul/host_ed25519_key")
    made = [(flashed.root / name).read_bytes().splitlines()[-3] for name in keys]
    secrets = [PASSPHRASE, token, *made]
    for secret in secrets:
        assert not any(secret in each for each in seen)
        for file in tmp_path.rglob("*"):
            if file.is_file() and secret in file.read_bytes():
                assert file.name in {"mqtt.key", "host_ed25519_key"}
                assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert token_hash(token.decode()) in authority.register.export_json()


def test_an_enrolled_node_renews_without_a_token(flashed: Flashed) -> None:
    flashed.enrol()
    before = (flashed.root / "etc/simpul/identity/mqtt.key").read_bytes()
    flashed.enrol()
    assert (flashed.root / "etc/simpul/identity/mqtt.key").read_bytes() != before


def test_an_enrolment_cut_short_is_taken_up_again(flashed: Flashed) -> None:
    flashed.program.rename(flashed.program.with_suffix(".whole"))
    whole = flashed.program.with_suffix(".whole").read_text()
    flashed.program.write_text(
        whole.replace(
            "code = run(options)", "code = 9 if options.step == 'install' else run(options)"
        )
    )
    with pytest.raises(EnrolError, match="exit status 9"):
        flashed.enrol()
    # Installed, but the answer was lost with the cable.
    flashed.program.write_text(
        whole.replace("sys.exit(code)", "sys.exit(code or 9 * (options.step == 'install'))")
    )
    with pytest.raises(EnrolError, match="exit status 9"):
        flashed.enrol()
    flashed.program.write_text(whole)
    assert flashed.enrol().unscrubbed == ()


def test_a_used_token_does_not_enrol_another_card(flashed: Flashed, authority: Authority) -> None:
    token = flashed.token.read_text().strip()
    flashed.enrol()
    with pytest.raises(TokenError, match="was used"):
        use_token(authority.register, NODE.name, token, "SHA256:another")
    with pytest.raises(TokenError, match="not one of this node"):
        use_token(authority.register, "taman-bunga", token, "SHA256:another")


def test_a_late_token_is_refused(authority: Authority, tmp_path: Path) -> None:
    seed = seed_node(authority, NODE, valid_hours=0)
    with (
        Flashed(tmp_path / "late", authority, seed) as late,
        pytest.raises(TokenError, match="ended on"),
    ):
        late.enrol()
    assert authority.register.rows("certificate")[-1]["subject"] == "ayu"


def test_an_impostor_at_the_address_is_not_spoken_to(
    flashed: Flashed, authority: Authority
) -> None:
    seed_node(authority, NODE)  # a newer card: the old one's key is not the node's any more
    keys = known_keys(authority.register, NODE)
    with pytest.raises(EnrolError, match="nobody with its key"):
        wait_for_node(NODE, keys, address="127.0.0.1", port=flashed.sshd.port, timeout_s=0)


def test_a_card_nobody_flashed_here_is_refused(authority: Authority) -> None:
    with pytest.raises(NotFlashedError, match="simpul flash taman-bunga"):
        known_keys(authority.register, Node(name="taman-bunga"))


@pytest.mark.skipif(mosquitto_program() is None, reason="Mosquitto is not installed")
def test_the_agent_speaks_with_its_papers_and_the_checklist_is_green(
    flashed: Flashed, authority: Authority, tmp_path: Path
) -> None:
    flashed.enrol()
    papers = flashed.root / "etc/simpul/identity"
    published = tmp_path / "published"
    published.mkdir()
    for name, content in authority.publish(PASSPHRASE).items():
        (published / name).write_bytes(content)
    signer = authority.unlock(PASSPHRASE)
    for name, sign in (("localhost", True), ("office", False)):
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        key = published / f"{name}.key"
        asked = subprocess.run(
            ["openssl", "req", "-new", *curve, "-subj", f"/CN={name}", "-keyout", key],
            check=True,
            capture_output=True,
        ).stdout
        certificate = (
            signer.mqtt_broker([name, "127.0.0.1"], asked)
            if sign
            else signer.mqtt_client(name, asked)
        )
        (published / f"{name}.pem").write_bytes(certificate)
    broker = Mosquitto(
        tmp_path / "broker",
        options=(
            f"cafile {published / 'mqtt-ca.pem'}",
            f"crlfile {published / 'mqtt.crl'}",
            f"certfile {published / 'localhost.pem'}",
            f"keyfile {published / 'localhost.key'}",
            "require_certificate true",
            "use_identity_as_username true",
        ),
    )
    url = f"mqtts://127.0.0.1:{broker.port}"
    access = BrokerAccess(
        url=url,
        ca_file=str(published / "mqtt-ca.pem"),
        certificate_file=str(published / "office.pem"),
        key_file=str(published / "office.key"),
    )
    agent = AgentProcess(tmp_path / "agent", NODE.name, [url])
    agent.write(
        uplink=msgspec.structs.replace(
            agent.settings.uplink,
            ca_file=str(papers / "ca.pem"),
            certificate_file=str(papers / "mqtt.pem"),
            key_file=str(papers / "mqtt.key"),
        )
    )
    with broker, listening_for(NODE.name, access) as ear, agent:
        assert ear.wait_online(30)
        assert ear.wait_complete(30)
        checks = checklist(ear.view, now=datetime.now(UTC), view_confirmed=None)
    by_key = {check.key: check for check in checks}
    assert by_key["online"].verdict == "good"
    assert by_key["hotspot"].verdict == "good"
    assert by_key["camera"].verdict == "absent"
    assert all_good([check for check in checks if check.key not in {"clock", "temperature"}])
