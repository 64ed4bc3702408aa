"""The playbook renews a node over a connection that it trusts, but never one that was revoked."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from services.office import ROOT, run_simpul

from provisioning.authority.authority import Authority
from provisioning.inventory import Node
from provisioning.seed.seed import seed_node

NODE = Node(name="pasar-horas")
CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@pytest.fixture
def asked(tmp_path: Path) -> bytes:
    """Return what a node without a token hands over."""
    line = ["openssl", "req", "-new", *CURVE, "-subj", f"/CN={NODE.name}", "-keyout", "mqtt.key"]
    made = subprocess.run(line, check=True, capture_output=True, text=True, cwd=tmp_path)
    line = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "host"]
    subprocess.run(line, check=True, cwd=tmp_path)
    request = {"node": NODE.name, "token": "", "mqtt_request": made.stdout}
    return json.dumps({**request, "ssh_host_key": (tmp_path / "host.pub").read_text()}).encode()


def signed(folder: Path, passphrase: bytes, asked: bytes) -> subprocess.CompletedProcess[bytes]:
    """Have the request signed as the role `enrol` does."""
    (folder / "passphrase").write_bytes(passphrase)
    (folder / "passphrase").chmod(0o600)
    line = [sys.executable, ROOT / "playbooks/roles/enrol/files/sign.py", NODE.name]
    files = ("--directory=authority", "--register=register.db", "--passphrase-file=passphrase")
    return subprocess.run(
        [*line, *files],
        input=asked,
        check=False,
        capture_output=True,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )


def test_a_revoked_node_is_not_renewed_by_the_playbook_either(
    authority: Authority, passphrase: bytes, tmp_path: Path, asked: bytes
) -> None:
    assert signed(tmp_path, passphrase, asked).returncode == 0
    assert list(authority.register.host_keys(NODE.name).values()) == ["confirmed"]
    assert signed(tmp_path, passphrase, asked).returncode == 0
    revoked = run_simpul(tmp_path, "authority", "revoke", NODE.name)
    assert "4 certificates, 0 tokens and 1 host keys" in revoked.stdout, revoked.stderr
    refused = signed(tmp_path, passphrase, asked)
    assert refused.returncode == 1
    assert b"pasar-horas: was revoked; flash its card again, or write it a new seed" in (
        refused.stderr
    )
    assert authority.register.host_keys(NODE.name) == {}
    assert len(authority.register.rows("certificate")) == 4
    seed_node(authority, NODE)
    assert signed(tmp_path, passphrase, asked).returncode == 0


def test_a_renewal_by_the_playbook_ends_no_spare_card(
    authority: Authority, passphrase: bytes, tmp_path: Path, asked: bytes
) -> None:
    assert signed(tmp_path, passphrase, asked).returncode == 0
    seed_node(authority, NODE)
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "new"], check=True
    )
    renewed = {**json.loads(asked), "ssh_host_key": (tmp_path / "new.pub").read_text()}
    assert signed(tmp_path, passphrase, json.dumps(renewed).encode()).returncode == 0
    states = list(authority.register.host_keys(NODE.name).values())
    assert states == ["flashed", "confirmed"]
