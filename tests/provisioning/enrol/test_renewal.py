"""The playbook renews a node over a connection that it trusts, but never one that was revoked."""

import base64
import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from services.office import ROOT, run_simpul
from services.program_file import load_program

from provisioning.authority.authority import Authority
from provisioning.authority.signer import Signer
from provisioning.inventory import Node
from provisioning.register import Register
from provisioning.seed.seed import TOKEN_FILE, seed_node

PROGRAM = ROOT / "playbooks/roles/enrol/files/sign.py"
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


def publish(authority: Authority) -> None:
    """Write what broker and stations are told to believe."""
    folder = authority.directory.with_name("published")
    folder.mkdir(exist_ok=True)
    (folder / "mqtt-ca.pem").write_bytes(authority.bundle("mqtt"))
    (folder / "ssh-known-hosts").write_bytes(authority.known_hosts())


def signed(folder: Path, passphrase: bytes, asked: bytes) -> subprocess.CompletedProcess[bytes]:
    """Have the request signed as the role `enrol` does."""
    (folder / "passphrase").write_bytes(passphrase)
    (folder / "passphrase").chmod(0o600)
    publish(Authority(folder / "authority", Register(folder / "register.db")))
    line = [sys.executable, PROGRAM, NODE.name, "--published=published"]
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


def test_a_stolen_box_is_not_renewed_because_its_place_got_a_new_card(
    authority: Authority, passphrase: bytes, tmp_path: Path, asked: bytes
) -> None:
    """The card brings a token with it; the box that was revoked has none any more."""
    assert signed(tmp_path, passphrase, asked).returncode == 0
    authority.revoke(NODE.name)
    seed = seed_node(authority, NODE)
    refused = signed(tmp_path, passphrase, asked)
    assert refused.returncode == 1
    assert b"pasar-horas: shows no token of the card that was flashed for it" in refused.stderr
    assert list(authority.register.host_keys(NODE.name).values()) == ["flashed"]
    assert all(row["revoked_at"] for row in authority.register.rows("certificate"))
    config = json.loads(seed.files["user-data"].split(b"\n", 1)[1])
    (token,) = [each["content"] for each in config["write_files"] if each["path"] == TOKEN_FILE]
    brought = {**json.loads(asked), "token": base64.b64decode(token).decode().strip()}
    assert signed(tmp_path, passphrase, json.dumps(brought).encode()).returncode == 0
    assert list(authority.register.host_keys(NODE.name).values()) == ["confirmed"]


@pytest.mark.parametrize("amid", ["mqtt_client", "ssh_host", "record_host_key"])
def test_a_revocation_amid_the_signing_counts(
    authority: Authority,
    passphrase: bytes,
    asked: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    amid: str,
) -> None:
    """A colleague takes the node back while the playbook signs for it."""
    assert signed(tmp_path, passphrase, asked).returncode == 0
    colleague = Authority(authority.directory, Register(authority.register.file, who="budi"))
    place = Register if amid == "record_host_key" else Signer
    whole = getattr(place, amid)

    def revoked_first(*words: str) -> str:
        monkeypatch.undo()
        colleague.revoke(NODE.name)
        said: str = whole(*words)
        return said

    monkeypatch.setattr(place, amid, revoked_first)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(asked)))
    places = ("authority", "register.db", "passphrase", "published")
    files = [tmp_path / name for name in places]
    options = ("--directory", "--register", "--passphrase-file", "--published")
    words = [f"{option}={file}" for option, file in zip(options, files, strict=True)]
    monkeypatch.setattr(sys, "argv", ["sign.py", NODE.name, *words])
    with pytest.raises(SystemExit, match="pasar-horas: was revoked"):
        load_program(PROGRAM).main()
    assert authority.register.host_keys(NODE.name) == {}
    assert all(row["revoked_at"] for row in authority.register.rows("certificate"))


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
