"""The audit log tells who did what, and when somebody changed it afterwards."""

import base64
import io
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from provisioning.__main__ import main
from provisioning.audit.errors import AuditError, KeyMissingError
from provisioning.audit.keys import SigningKey, fingerprint, is_signed, operator_key
from provisioning.audit.log import AuditLog, Deed, Line, hash_of, signed_bytes
from provisioning.audit.show import audit_table
from provisioning.audit.verify import Entry, read_log
from provisioning.authority.authority import Authority


def make_key(file: Path, kind: str = "ed25519", words: str = "") -> Path:
    line = ["ssh-keygen", "-q", "-t", kind, "-N", words, "-C", "", "-f", str(file)]
    subprocess.run(line, check=True)
    return file


@pytest.fixture
def key(authority: Authority, passphrase: bytes, tmp_path: Path) -> Path:
    """Make a technician's key that the authority certified."""
    file = make_key(tmp_path / "key")
    signer = authority.unlock(passphrase, "ssh-user")
    public = file.with_name("key.pub").read_text()
    file.with_name("key-cert.pub").write_text(signer.technician("ayu", public, ["technician"], 8))
    return file


@pytest.fixture
def log(key: Path, tmp_path: Path) -> AuditLog:
    return AuditLog(tmp_path / "audit.jsonl", operator_key(str(key)), "ayu")


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Run a real ssh-agent; yield its socket."""
    socket = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline()
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
    yield socket
    process.terminate()
    process.communicate()


def test_what_was_done_is_told_with_who_signed_it(log: AuditLog, authority: Authority) -> None:
    with log.doing("reboot", ("pasar-horas",)):
        pass
    with pytest.raises(ValueError, match="no such"), log.doing("logs", ("taman-bunga",), "--last"):
        raise ValueError("no such unit")
    read = read_log(log.file, authority.register.rows("certificate"))
    assert [(each.deed.action, each.deed.outcome) for each in read.entries] == [
        ("reboot", ""),
        ("reboot", "done"),
        ("logs", ""),
        ("logs", "ValueError: no such unit"),
    ]
    assert {(each.signed_by, each.problem) for each in read.entries} == {("ayu", "")}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_any_changed_byte_is_noticed(
    log: AuditLog, authority: Authority, data: st.DataObject
) -> None:
    log.file.unlink(missing_ok=True)
    for number in range(3):
        log.write("reboot", (f"n{number}",), outcome="done")
    text = bytearray(log.file.read_bytes())
    place = data.draw(st.integers(0, len(text) - 2))
    text[place] ^= 1 << data.draw(st.integers(0, 6))
    log.file.write_bytes(text)
    try:
        read = read_log(log.file, authority.register.rows("certificate"))
    except AuditError:
        return
    assert any(each.problem for each in read.entries)


def test_no_bit_of_a_last_line_changes_unnoticed(log: AuditLog, authority: Authority) -> None:
    """No line after it vouches for that one; Paramiko alone reads over wrong lengths in keys."""
    log.write("reboot", ("n0",), outcome="done")
    certificates = authority.register.rows("certificate")
    text = log.file.read_bytes()
    for place in range(len(text) - 1):
        for bit in range(8):
            changed = bytearray(text)
            changed[place] ^= 1 << bit
            log.file.write_bytes(changed)
            with suppress(AuditError):
                read = read_log(log.file, certificates)
                assert any(each.problem for each in read.entries), (place, bit)


@pytest.mark.parametrize("gone", [0, 1])
def test_a_line_taken_out_is_noticed(log: AuditLog, authority: Authority, gone: int) -> None:
    for number in range(3):
        log.write("reboot", (f"n{number}",))
    lines = log.file.read_bytes().splitlines(keepends=True)
    del lines[gone]
    log.file.write_bytes(b"".join(lines))
    read = read_log(log.file, authority.register.rows("certificate"))
    assert "does not follow" in read.entries[gone].problem


def test_a_cut_end_shows_by_the_head_that_somebody_kept(
    log: AuditLog, authority: Authority
) -> None:
    log.write("reboot", ("a",))
    kept = log.write("reboot", ("b",))
    rows = authority.register.rows("certificate")
    assert read_log(log.file, rows).head == kept
    log.file.write_bytes(log.file.read_bytes().splitlines(keepends=True)[0])
    assert read_log(log.file, rows).head != kept


def test_who_claims_another_name_is_known_by_the_key(
    key: Path, authority: Authority, tmp_path: Path
) -> None:
    AuditLog(tmp_path / "log", operator_key(str(key)), "wali-kota").write("reboot", ("a",))
    (entry,) = read_log(tmp_path / "log", authority.register.rows("certificate")).entries
    assert (entry.deed.who, entry.signed_by) == ("wali-kota", "ayu")


def test_a_key_without_a_certificate_and_a_revoked_one_are_told(
    log: AuditLog, authority: Authority, tmp_path: Path
) -> None:
    stranger = operator_key(str(make_key(tmp_path / "stranger")))
    AuditLog(log.file, stranger, "ayu").write("reboot", ("a",))
    log.write("reboot", ("b",))
    authority.revoke("ayu")
    with authority.register.transaction() as db:
        db.execute("UPDATE certificate SET revoked_at = '2001-01-01T00:00:00Z'")
    first, second = read_log(log.file, authority.register.rows("certificate")).entries
    assert "never certified" in first.problem
    assert "was not valid then" in second.problem


def forged(log: AuditLog, at: str) -> None:
    """Append a line, signed by the key of `log`, that says it was written at `at`."""
    previous = hash_of(log.file.read_bytes().splitlines(keepends=True)[-1])
    deed = Deed(at=at, who="ayu", station="s", action="reboot", nodes=("a",))
    signature = base64.b64encode(log.key.sign(signed_bytes(previous, deed))).decode()
    line = Line(previous=previous, deed=deed, key=log.key.public, signature=signature)
    with log.file.open("ab") as file:
        file.write(msgspec.json.encode(line) + b"\n")


def test_a_revoked_key_cannot_date_a_line_back(
    log: AuditLog, authority: Authority, passphrase: bytes, tmp_path: Path
) -> None:
    other = make_key(tmp_path / "other")
    signer = authority.unlock(passphrase, "ssh-user")
    signer.technician("budi", other.with_name("other.pub").read_text(), ["technician"], 8)
    log.write("reboot", ("a",))
    # Revoked an hour ago; two hours ago she still might.
    now = datetime.now(UTC)
    with authority.register.transaction() as db:
        db.execute("UPDATE certificate SET at = ?", (f"{now - timedelta(hours=3):%FT%TZ}",))
        db.execute(
            "UPDATE certificate SET revoked_at = ? WHERE subject = 'ayu'",
            (f"{now - timedelta(hours=1):%FT%TZ}",),
        )
    AuditLog(log.file, operator_key(str(other)), "budi").write("reboot", ("a",))
    for hours in (0, 2):
        forged(log, f"{now - timedelta(hours=hours):%FT%T}.000+00:00")
    forged(log, f"{now - timedelta(hours=2):%FT%T}.000-02:00")
    _, honest, late, dated_back, elsewhere = read_log(
        log.file, authority.register.rows("certificate")
    ).entries
    assert honest.problem == ""
    assert "was not valid then" in late.problem
    assert "dated 120 min before a line above it" in dated_back.problem
    assert "was not valid then" in elsewhere.problem


def test_what_was_done_in_the_second_before_a_revocation_is_believed(
    log: AuditLog, authority: Authority
) -> None:
    log.write("reboot", ("a",))
    rows = authority.register.rows("certificate")
    (entry,) = read_log(log.file, rows).entries
    # The register keeps whole seconds.
    revoked = [{**row, "revoked_at": f"{entry.deed.at[:19]}Z"} for row in rows]
    (entry,) = read_log(log.file, revoked).entries
    assert entry.problem == ""


@pytest.mark.parametrize("at", ["", "yesterday", "9999-99-99T00:00:00Z"])
def test_a_time_that_is_none_is_told(log: AuditLog, authority: Authority, at: str) -> None:
    log.write("reboot", ("a",))
    forged(log, at)
    _, entry = read_log(log.file, authority.register.rows("certificate")).entries
    assert "its time is none" in entry.problem


def test_a_clock_that_is_set_by_some_seconds_is_no_forgery(
    log: AuditLog, authority: Authority
) -> None:
    log.write("reboot", ("a",))
    forged(log, (datetime.now(UTC) - timedelta(seconds=50)).isoformat(timespec="milliseconds"))
    read = read_log(log.file, authority.register.rows("certificate"))
    assert [entry.problem for entry in read.entries] == ["", ""]


def test_a_torn_end_is_one_problem(
    log: AuditLog, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = log.write("reboot", ("pasar-horas",), outcome="done")
    with log.file.open("ab") as file:
        file.write(b'{"previous":"ab')
    read = read_log(log.file, authority.register.rows("certificate"))
    assert [bool(entry.problem) for entry in read.entries] == [False, True]
    assert "a power cut" in read.entries[-1].problem
    assert read.head == kept
    words = [f"--file={log.file}", f"--register={authority.register.file}"]
    assert main(["audit", *words]) == 3
    told = capsys.readouterr()
    assert "pasar-horas" in told.out
    assert "1 lines are not to be believed" in told.err
    log.write("reboot", ("b",))
    read = read_log(log.file, authority.register.rows("certificate"))
    assert not any(entry.problem for entry in read.entries)


def test_several_commands_write_one_line_after_the_other(
    log: AuditLog, authority: Authority
) -> None:
    def work() -> None:
        for _ in range(10):
            log.write("reboot", ("a",))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    read = read_log(log.file, authority.register.rows("certificate"))
    assert len(read.entries) == 40
    assert not any(each.problem for each in read.entries)


def test_a_line_that_a_power_cut_left_half_is_dropped(log: AuditLog, authority: Authority) -> None:
    log.write("reboot", ("a",))
    with log.file.open("ab") as file:
        file.write(b'{"previous":"ab')
    log.write("reboot", ("b",))
    read = read_log(log.file, authority.register.rows("certificate"))
    assert [each.deed.nodes for each in read.entries] == [("a",), ("b",)]
    assert not any(each.problem for each in read.entries)


def test_where_it_cannot_be_written_nothing_is_done(log: AuditLog, tmp_path: Path) -> None:
    done = []
    lost = AuditLog(tmp_path / "no" / "such", log.key, "ayu")
    with pytest.raises(AuditError, match="nothing is done without"), lost.doing("reboot", ("a",)):
        done.append(1)
    assert not done


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_every_kind_of_key_signs_from_file_and_agent(
    kind: str, tmp_path: Path, agent: Path
) -> None:
    file = make_key(tmp_path / kind, kind)
    subprocess.run(["ssh-add", "-q", str(file)], check=True, env={**os.environ})
    shown = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(file)], check=True, capture_output=True, text=True
    ).stdout.split()[1]
    for signing in (operator_key(str(file)), operator_key()):
        signature = signing.sign(b"deed")
        assert is_signed(signing.public, b"deed", signature)
        assert not is_signed(signing.public, b"other deed", signature)
        assert fingerprint(signing.public) == shown
    assert agent.exists()


def test_a_key_under_a_passphrase_is_taken_from_the_agent(tmp_path: Path, agent: Path) -> None:
    file = make_key(tmp_path / "locked", words="kuda lumping")
    with pytest.raises(KeyMissingError, match="ssh-add it"):
        operator_key(str(file))
    asking = tmp_path / "ask"
    asking.write_text("#!/bin/sh\necho kuda lumping\n")
    asking.chmod(0o755)
    environment = {**os.environ, "SSH_ASKPASS": str(asking), "SSH_ASKPASS_REQUIRE": "force"}
    subprocess.run(["ssh-add", "-q", str(file)], check=True, env=environment)
    signing = operator_key(str(file))
    assert is_signed(signing.public, b"deed", signing.sign(b"deed"))
    assert agent.exists()


def test_without_any_key_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(KeyMissingError, match="--identity"):
        operator_key()


@given(st.text(max_size=40), st.binary(max_size=80))
def test_no_rubbish_is_taken_for_a_signature(public: str, signature: bytes) -> None:
    assert is_signed(public, b"deed", signature) is False


def test_the_command_shows_and_judges(
    log: AuditLog, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    log.write("reboot", ("pasar-horas",), outcome="done")
    log.write("logs", ("taman-bunga",), outcome="done")
    words = [f"--file={log.file}", f"--register={authority.register.file}"]
    assert main(["audit", *words]) == 0
    assert "2 lines, all signed" in capsys.readouterr().out
    assert main(["audit", "pasar-horas", "--json", *words]) == 0
    (entry,) = msgspec.json.decode(capsys.readouterr().out)
    assert entry["signed_by"] == "ayu"
    text = log.file.read_bytes()
    line = msgspec.json.decode(text.splitlines()[0], type=Line)
    assert isinstance(log.key, SigningKey)
    assert line.deed.nodes == ("pasar-horas",)
    log.file.write_bytes(text.replace(b"pasar-horas", b"adam-malik"))
    assert main(["audit", *words]) == 3
    told = capsys.readouterr()
    assert "1 lines are not to be believed" in told.err or "2 lines" in told.err


@pytest.mark.parametrize("count", [500, 5000])
def test_a_line_that_names_a_whole_fleet_is_followed(
    log: AuditLog, authority: Authority, count: int
) -> None:
    fleet = tuple(f"pasar-horas-{number}" for number in range(count))
    for outcome in ("", "done"):
        log.write("update", fleet, outcome=outcome)
    with log.file.open("ab") as file:
        file.write(log.file.read_bytes().split(b"\n")[0])  # as a power cut leaves a line
    log.write("reboot", ("a",))
    read = read_log(log.file, authority.register.rows("certificate"))
    assert [(each.deed.action, each.problem) for each in read.entries] == [
        ("update", ""),
        ("update", ""),
        ("reboot", ""),
    ]


def test_a_forged_line_is_shown_and_breaks_no_table() -> None:
    deed = Deed(at="[/]", who="[/red]x", station="s", action="[b", nodes=("[/]",))
    table = audit_table([Entry(number=1, deed=deed, signed_by="", problem="forged [/]")])
    with Console(width=200, record=True, file=io.StringIO()) as console:
        console.print(table)
    assert "forged [/]" in console.export_text()
