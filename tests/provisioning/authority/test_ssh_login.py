"""What the authority signs for SSH, seen against a real sshd and ssh."""

import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import SSHCertificateType
from services.sshd import Sshd, sshd_missing

from provisioning.authority import ssh
from provisioning.authority.authority import Authority
from provisioning.enrol.connection import Reach, Trust, pinned, run_on
from provisioning.enrol.errors import EnrolError
from provisioning.register import Register

pytestmark = pytest.mark.skipif(sshd_missing(), reason="needs root and openssh-server")
NODE = "pasar-horas"


def keygen(file: Path) -> str:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file], check=True)
    return file.with_name(file.name + ".pub").read_text()


@pytest.fixture
def sshd(authority: Authority, passphrase: bytes, tmp_path: Path) -> Iterator[Sshd]:
    made = Sshd(tmp_path / "node", authority.bundle("ssh-user"), authority.krl(), "technician")
    public = keygen(made.host_key)
    certificate = made.host_key.with_name(made.host_key.name + "-cert.pub")
    certificate.write_text(authority.unlock(passphrase, "ssh-host").ssh_host(NODE, public))
    with made.config.open("a") as config:
        config.write(f"HostCertificate {certificate}\n")
    with made:
        yield made


def technician(
    authority: Authority, passphrase: bytes, key: Path, *, principal: str = "technician"
) -> None:
    public = keygen(key)
    signer = authority.unlock(passphrase, "ssh-user")
    certificate = signer.technician("ayu", public, [principal], 8)
    key.with_name(key.name + "-cert.pub").write_text(certificate)


def login(sshd: Sshd, authority: Authority, key: Path, trust: Trust | None = None) -> bytes:
    reach = Reach(host="127.0.0.1", port=sshd.port, user="root", identity_file=str(key))
    believed = trust or Trust(known_hosts=authority.known_hosts(), krl=authority.krl())
    return run_on(reach, NODE, believed, ["echo", "in"])


def test_an_sshd_that_is_just_starting_is_asked_again(
    sshd: Sshd, authority: Authority, passphrase: bytes, tmp_path: Path
) -> None:
    """As cloud-init starts it anew in a node's first minute."""
    technician(authority, passphrase, tmp_path / "key")
    sshd.stop()
    closed: list[str] = []

    def close_some() -> None:
        with socket.create_server(("127.0.0.1", sshd.port)) as listener:
            for _ in range(2):
                connection, _address = listener.accept()
                connection.close()
                closed.append("closed")
        sshd.__enter__()

    with ThreadPoolExecutor(max_workers=1) as pool:
        started = pool.submit(close_some)
        assert login(sshd, authority, tmp_path / "key") == b"in\n"
        started.result()
    assert len(closed) == 2


def test_a_command_that_cannot_connect_is_not_run_twice(
    sshd: Sshd, authority: Authority, passphrase: bytes, tmp_path: Path
) -> None:
    """It may say the words that ssh says, and end as ssh does."""
    technician(authority, passphrase, tmp_path / "key")
    key, runs = str(tmp_path / "key"), tmp_path / "runs"
    reach = Reach(host="127.0.0.1", port=sshd.port, user="root", identity_file=key)
    believed = Trust(known_hosts=authority.known_hosts(), krl=authority.krl())
    line = f"echo run >> {runs}; echo nc: Connection refused >&2; exit 255"
    with pytest.raises(EnrolError, match="nc: Connection refused"):
        run_on(reach, NODE, believed, [line])
    assert runs.read_text() == "run\n"


def test_a_technician_comes_in_and_knows_the_host_by_the_authority(
    sshd: Sshd, authority: Authority, passphrase: bytes, tmp_path: Path
) -> None:
    technician(authority, passphrase, tmp_path / "key")
    assert login(sshd, authority, tmp_path / "key") == b"in\n"


def test_a_host_that_nobody_vouches_for_is_not_spoken_to(
    sshd: Sshd, authority: Authority, passphrase: bytes, tmp_path: Path
) -> None:
    technician(authority, passphrase, tmp_path / "key")
    with pytest.raises(EnrolError, match=r"Host key verification failed|No .* host key is known"):
        login(sshd, authority, tmp_path / "key", Trust(known_hosts=b"", krl=authority.krl()))
    other = keygen(tmp_path / "other")
    with pytest.raises(EnrolError, match="verification failed"):
        login(sshd, authority, tmp_path / "key", pinned(NODE, other, authority.krl()))


def test_a_certificate_of_another_node_does_not_open_this_name(
    sshd: Sshd, authority: Authority, passphrase: bytes, tmp_path: Path
) -> None:
    technician(authority, passphrase, tmp_path / "key")
    reach = Reach(
        host="127.0.0.1", port=sshd.port, user="root", identity_file=str(tmp_path / "key")
    )
    trust = Trust(known_hosts=authority.known_hosts(), krl=authority.krl())
    with pytest.raises(EnrolError, match=r"verification failed|not a listed principal"):
        run_on(reach, "taman-bunga", trust, ["true"])


def test_a_key_without_certificate_stays_out(
    sshd: Sshd, authority: Authority, tmp_path: Path
) -> None:
    keygen(tmp_path / "key")
    with pytest.raises(EnrolError, match="Permission denied"):
        login(sshd, authority, tmp_path / "key")


def test_another_principal_stays_out(
    sshd: Sshd, authority: Authority, passphrase: bytes, tmp_path: Path
) -> None:
    technician(authority, passphrase, tmp_path / "key", principal="somebody")
    with pytest.raises(EnrolError, match="Permission denied"):
        login(sshd, authority, tmp_path / "key")
    assert "does not contain an authorized principal" in sshd.log.read_text()


def test_a_foreign_authoritys_technician_stays_out(
    sshd: Sshd, authority: Authority, passphrase: bytes, tmp_path: Path
) -> None:
    foreign = Authority(tmp_path / "foreign", Register(tmp_path / "foreign.db"))
    foreign.init(passphrase)
    technician(foreign, passphrase, tmp_path / "key")
    with pytest.raises(EnrolError, match="Permission denied"):
        login(sshd, authority, tmp_path / "key")
    signer = ssh.read_public(foreign.trusted("ssh-user")[0].public, "foreign")
    failed = [line for line in sshd.log.read_text().splitlines() if "Failed publickey" in line]
    assert any(f"CA ED25519 {ssh.fingerprint(signer)}" in line for line in failed)


def test_an_expired_certificate_stays_out(
    sshd: Sshd,
    authority: Authority,
    passphrase: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ssh, "_BACKDATED", timedelta(days=2))
    public = keygen(tmp_path / "key")
    key = ssh.read_public(public, "ayu")
    signing = authority.unlock(passphrase, "ssh-user")._ssh("ssh-user")
    gone = ssh._started(
        key, "ayu", ["technician"], timedelta(seconds=-60), SSHCertificateType.USER
    ).sign(signing)
    (tmp_path / "key-cert.pub").write_bytes(gone.public_bytes())
    with pytest.raises(EnrolError, match="Permission denied"):
        login(sshd, authority, tmp_path / "key")
    assert "expired" in sshd.log.read_text()


def test_a_revoked_technician_stays_out_and_others_come_in(
    sshd: Sshd, authority: Authority, passphrase: bytes, tmp_path: Path
) -> None:
    technician(authority, passphrase, tmp_path / "key")
    assert login(sshd, authority, tmp_path / "key")
    assert authority.revoke("ayu") == 1
    sshd.krl.write_bytes(authority.publish(passphrase)["ssh-revoked.krl"])
    with pytest.raises(EnrolError, match="Permission denied"):
        login(sshd, authority, tmp_path / "key")
    assert "revoked by file" in sshd.log.read_text()
    technician(authority, passphrase, tmp_path / "new")
    assert login(sshd, authority, tmp_path / "new")


def test_a_revoked_host_is_not_spoken_to(
    sshd: Sshd, authority: Authority, passphrase: bytes, tmp_path: Path
) -> None:
    technician(authority, passphrase, tmp_path / "key")
    assert authority.revoke(NODE) == 1
    with pytest.raises(EnrolError, match=r"verification failed|revoked"):
        login(sshd, authority, tmp_path / "key")


def test_a_rotation_overlaps_until_the_old_generation_is_retired(
    sshd: Sshd, authority: Authority, passphrase: bytes, tmp_path: Path
) -> None:
    technician(authority, passphrase, tmp_path / "old")
    for kind in ("ssh-user", "ssh-host"):
        authority.rotate(kind, passphrase)
    technician(authority, passphrase, tmp_path / "new")
    trusted = sshd.root / "etc/ssh/simpul/user-ca.pub"
    with pytest.raises(EnrolError, match="Permission denied"):
        login(sshd, authority, tmp_path / "new")
    trusted.write_bytes(authority.bundle("ssh-user"))
    assert login(sshd, authority, tmp_path / "new")
    assert login(sshd, authority, tmp_path / "old")
    assert len(authority.retire("ssh-user")) == 1
    trusted.write_bytes(authority.bundle("ssh-user"))
    with pytest.raises(EnrolError, match="Permission denied"):
        login(sshd, authority, tmp_path / "old")
    assert login(sshd, authority, tmp_path / "new")
    authority.retire("ssh-host")
    with pytest.raises(EnrolError, match="verification failed"):
        login(sshd, authority, tmp_path / "new")


def test_technicians_papers_are_short_lived(
    authority: Authority, passphrase: bytes, tmp_path: Path
) -> None:
    public = keygen(tmp_path / "key")
    with pytest.raises(ValueError, match="lasts up to 24"):
        authority.unlock(passphrase, "ssh-user").technician("ayu", public, ["technician"], 25)
