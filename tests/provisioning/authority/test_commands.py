"""`simpul authority ...` at the desk: made, shown, rotated, taken back, exported, and mistakes."""

import csv
import io
import json
import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from provisioning.__main__ import main
from provisioning.authority import ssh
from provisioning.authority.authority import Authority
from provisioning.authority.errors import AuthorityError, PassphraseError
from provisioning.authority.keys import open_key
from provisioning.enrol.enrol import known_keys
from provisioning.enrol.errors import NotFlashedError
from provisioning.inventory import Node
from provisioning.register import Register
from provisioning.seed.seed import seed_node

ROOT = Path(__file__).parents[3]


@pytest.fixture
def secret(tmp_path: Path, passphrase: bytes) -> Path:
    file = tmp_path / "passphrase"
    file.write_bytes(passphrase + b"\n")
    file.chmod(0o600)
    return file


@pytest.fixture
def office(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """Work in the folder that holds authority and register, as an office does."""
    monkeypatch.chdir(tmp_path)
    return authority


def told(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Run simpul, expect it to end well, and return what it printed."""
    capsys.readouterr()
    assert main([*map(str, words)]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def complaint(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    capsys.readouterr()
    assert main([*map(str, words)]) == 1
    return capsys.readouterr().err


def test_init_makes_locked_keys_that_others_cannot_read(
    tmp_path: Path,
    secret: Path,
    passphrase: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "would make" in told(capsys, "authority", "init", "--dry-run")
    assert not (tmp_path / "authority").exists()
    told(capsys, "authority", "init", "--passphrase-file", secret)
    folder = tmp_path / "authority"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = sorted(folder.iterdir())
    assert [file.name for file in files] == ["mqtt-1.key", "ssh-host-1.key", "ssh-user-1.key"]
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        open_key(file.read_bytes(), passphrase, "")
        with pytest.raises(PassphraseError):
            open_key(file.read_bytes(), b"another passphrase", "")
    assert "use rotate" in complaint(capsys, "authority", "init", "--passphrase-file", secret)


def test_an_init_cut_short_is_taken_up_again(
    tmp_path: Path, passphrase: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = Authority(tmp_path / "authority", Register(tmp_path / "register.db"))
    place = half._file
    with monkeypatch.context() as cut:
        cut.setattr(
            half, "_file", lambda kind, number: place(kind, number) if kind == "mqtt" else _cut()
        )
        with pytest.raises(KeyboardInterrupt):
            half.init(passphrase)
    with pytest.raises(AuthorityError, match="run simpul authority init"):
        half.trusted("mqtt")
    half.init(passphrase)
    assert len(half.generations()) == 3


def _cut() -> Path:
    raise KeyboardInterrupt


def test_the_authority_of_mqtt_is_one_that_python_3_13_takes(authority: Authority) -> None:
    certificate = x509.load_pem_x509_certificate(authority.bundle("mqtt"))
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.key_cert_sign
    assert usage.value.crl_sign
    assert not usage.value.digital_signature
    basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert basic.critical
    assert (basic.value.ca, basic.value.path_length) == (True, 0)


def test_status_counts_what_is_out(
    office: Authority, passphrase: bytes, secret: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del secret
    public = office.trusted("ssh-user")[0].public
    office.unlock(passphrase, "ssh-user").technician("ayu", public, ["technician"], 1)
    office.revoke("ayu")
    rows = {row["kind"]: row for row in json.loads(told(capsys, "authority", "status", "--json"))}
    assert rows["ssh-user"] == {
        "kind": "ssh-user",
        "generation": 1,
        "retired": False,
        "issued": 1,
        "revoked": 1,
    }
    assert rows["mqtt"]["issued"] == 0
    assert "ssh-host" in told(capsys, "authority", "status")


def test_rotate_overlaps_until_it_is_finished(
    office: Authority, secret: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ("authority", "rotate", "mqtt")
    assert "would make mqtt 2" in told(capsys, *line, "--dry-run")
    assert len(office.trusted("mqtt")) == 1
    told(capsys, *line, "--passphrase-file", secret)
    assert [each.number for each in office.trusted("mqtt")] == [1, 2]
    assert "would retire" in told(capsys, *line, "--finish", "--dry-run")
    told(capsys, *line, "--finish")
    assert [each.number for each in office.trusted("mqtt")] == [2]
    assert "choose mqtt, ssh-host, ssh-user" in complaint(capsys, "authority", "rotate", "wifi")


@pytest.mark.usefixtures("office")
def test_amid_a_rotation_technicians_are_certified_by_whom_every_node_believes(
    secret: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    key = Ed25519PrivateKey.generate().public_key()
    (tmp_path / "ayu.pub").write_text(ssh.public_line(key) + "\n")
    asked = ("--passphrase-file", secret)

    def signed_by() -> str:
        told(capsys, "authority", "technician", "ayu", tmp_path / "ayu.pub", *asked)
        shown = subprocess.run(
            ["ssh-keygen", "-L", "-f", tmp_path / "ayu-cert.pub"],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        return next(line for line in shown.splitlines() if "Signing CA" in line)

    first = signed_by()
    told(capsys, "authority", "rotate", "ssh-user", *asked)
    assert signed_by() == first, "a node that was away knows no other"
    told(capsys, "authority", "rotate", "ssh-user", "--finish")
    assert signed_by() != first


def test_a_rotation_takes_the_passphrase_of_the_others(office: Authority) -> None:
    with pytest.raises(PassphraseError, match=r"mqtt-1\.key: not opened"):
        office.rotate("mqtt", b"kuda lumping tidur")
    assert len(office.generations("mqtt")) == 1


def test_revoke_takes_back_papers_tokens_and_keys(
    office: Authority, capsys: pytest.CaptureFixture[str], passphrase: bytes
) -> None:
    seed = seed_node(office, Node(name="pasar-horas"))
    office.unlock(passphrase, "ssh-host").ssh_host("pasar-horas", seed.host_public_key)
    line = ("authority", "revoke", "pasar-horas")
    all_of_it = "1 certificates, 1 tokens and 1 host keys of pasar-horas"
    assert f"would take back {all_of_it}" in told(capsys, *line, "--dry-run")
    assert office.register.host_keys("pasar-horas")
    assert f"took back {all_of_it}" in told(capsys, *line)
    assert office.register.host_keys("pasar-horas") == {}
    assert office.register.rows("token") == []
    assert "nothing valid" in complaint(capsys, "authority", "revoke", "pasar-horas")
    assert "nothing valid" in complaint(capsys, "authority", "revoke", "nobody")


def test_host_keys_are_taken_back_after_every_certificate_was(
    office: Authority, capsys: pytest.CaptureFixture[str], passphrase: bytes
) -> None:
    """Else such a box, whose key is still believed, would renew without a token."""
    node = Node(name="pasar-horas")
    key = ssh.public_line(Ed25519PrivateKey.generate().public_key())
    certified = office.unlock(passphrase, "ssh-host").ssh_host(node.name, key)
    assert certified
    office.register.record_host_key(node.name, key, "confirmed")
    (serial,) = [row["serial"] for row in office.register.rows("certificate")]
    line = ("authority", "revoke", node.name)
    one = told(capsys, *line, "--serial", serial)
    assert "took back 1 certificates of pasar-horas" in one
    assert "its host keys are believed still" in one
    assert known_keys(office.register, node) == {key: "confirmed"}
    shown = ssh.fingerprint(ssh.read_public(key, node.name))
    planned = told(capsys, *line, "--dry-run")
    assert "0 certificates, 0 tokens and 1 host keys of pasar-horas" in planned
    assert f"host key {shown} (confirmed)" in planned
    assert known_keys(office.register, node) == {key: "confirmed"}
    assert f"host key {shown} (confirmed)" in told(capsys, *line)
    with pytest.raises(NotFlashedError, match="simpul flash pasar-horas"):
        known_keys(office.register, node)
    assert "nothing valid" in complaint(capsys, *line)


def test_one_certificate_is_taken_back_without_the_token_of_a_card_that_waits(
    office: Authority, capsys: pytest.CaptureFixture[str], passphrase: bytes
) -> None:
    seed = seed_node(office, Node(name="pasar-horas"))
    office.unlock(passphrase, "ssh-host").ssh_host("pasar-horas", seed.host_public_key)
    (serial,) = [row["serial"] for row in office.register.rows("certificate")]
    waiting = office.register.rows("token")
    told(capsys, "authority", "revoke", "pasar-horas", "--serial", serial)
    assert office.register.rows("token") == waiting != []


def test_a_broker_without_a_name_is_explained(
    office: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del office
    (tmp_path / "broker.csr").write_text("a request")
    said = complaint(capsys, "authority", "broker", "broker.csr")
    assert "no name; write the broker's host name, then its other names" in said


def test_the_register_is_exported(
    office: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set(json.loads(told(capsys, "authority", "export"))) >= {"card", "token"}
    listed = csv.DictReader(io.StringIO(told(capsys, "authority", "export", "--table=authority")))
    assert [row["kind"] for row in listed] == ["mqtt", "ssh-host", "ssh-user"]
    file = tmp_path / "export.json"
    assert "would write" in told(capsys, "authority", "export", "--output", file, "--dry-run")
    assert not file.exists()
    told(capsys, "authority", "export", "--output", file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text()) == json.loads(office.register.export_json())
    assert "is no table" in complaint(capsys, "authority", "export", "--table", "secrets")


def test_publish_writes_what_is_public(
    office: Authority, secret: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del office
    assert "would write" in told(capsys, "authority", "publish", "--dry-run")
    assert not (tmp_path / "published").exists()
    told(capsys, "authority", "publish", "--passphrase-file", secret)
    written = {file.name: file.read_bytes() for file in (tmp_path / "published").iterdir()}
    assert set(written) == {
        "mqtt-ca.pem",
        "mqtt.crl",
        "ssh-user-ca.pub",
        "ssh-known-hosts",
        "ssh-revoked.krl",
    }
    assert b"PRIVATE" not in b"".join(written.values())


def test_a_client_is_certified_but_no_node(
    office: Authority, secret: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    for name in ("office", "pasar-horas"):
        files = ("-keyout", "key", "-out", f"{name}.csr")
        subprocess.run(
            ["openssl", "req", "-new", *curve, "-subj", f"/CN={name}", *files],
            check=True,
            capture_output=True,
            cwd=tmp_path,
        )
    line = ("authority", "client", "office", "office.csr", "--passphrase-file", secret)
    assert "would certify" in told(capsys, *line, "--dry-run")
    told(capsys, *line)
    made = x509.load_pem_x509_certificate((tmp_path / "office.pem").read_bytes())
    assert made.subject.rfc4514_string() == "CN=office"
    office.register.record_host_key("pasar-horas", "ssh-ed25519 A", "confirmed")
    said = complaint(capsys, "authority", "client", "pasar-horas", "pasar-horas.csr")
    assert "simpul enrol pasar-horas certifies it" in said
    assert "cannot be read" in complaint(capsys, "authority", "client", "x", "none.csr")


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (b"kuda lumping menari", 0o644, "chmod 600"),
        (b"short", 0o600, "at least 12"),
        (b"\xff\xfe\xff" * 10, 0o600, "not text in UTF-8"),
        (None, 0, "No such file"),
    ],
)
def test_a_bad_passphrase_file_is_explained(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: bytes | None,
    mode: int,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
        (tmp_path / "secret").chmod(mode)
    said = complaint(capsys, "authority", "init", "--passphrase-file", "secret")
    assert words in said
    assert not (tmp_path / "authority").exists()


def test_no_terminal_and_no_file_is_explained(office: Authority) -> None:
    del office
    done = subprocess.run(
        [sys.executable, "-m", "provisioning", "authority", "publish"],
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 1
    assert "name a file with --passphrase-file" in done.stderr


def test_the_terminal_asks_twice_and_shows_nothing(tmp_path: Path, passphrase: bytes) -> None:
    """A real terminal (pty(7)): what is typed is not echoed."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        os.environ["PYTHONPATH"] = str(ROOT)
        os.execv(  # noqa: S606 - no shell
            sys.executable, [sys.executable, "-m", "provisioning", "authority", "init"]
        )
    shown = b""
    for question in (b"authority: ", b"Once more: "):
        while question not in shown:
            shown += os.read(terminal, 1024)
        os.write(terminal, passphrase + b"\n")
    try:
        while more := os.read(terminal, 1024):
            shown += more
    except OSError:  # the other side is closed
        pass
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, shown
    assert passphrase not in shown
    Authority(tmp_path / "authority", Register(tmp_path / "register.db")).unlock(passphrase)


def test_lost_or_foreign_keys_are_explained(office: Authority, passphrase: bytes) -> None:
    file = office.directory / "mqtt-1.key"
    text = file.read_bytes()
    file.unlink()
    with pytest.raises(AuthorityError, match="No such file or directory; bring back the backup"):
        office.unlock(passphrase, "mqtt")
    file.write_bytes(text[:200])
    with pytest.raises(PassphraseError, match="not opened by this passphrase"):
        office.unlock(passphrase, "mqtt")
