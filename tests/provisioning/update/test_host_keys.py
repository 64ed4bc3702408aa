"""A node is believed by any of its pinned keys, and found where the inventory says; a real sshd."""

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs
from services.sshd import Sshd, sshd_missing
from services.waiting import until

from provisioning.authority.authority import Authority
from provisioning.update.errors import RefusedError, UnreachableError
from provisioning.update.link import Way, answer, opened

pytestmark = pytest.mark.skipif(sshd_missing(), reason="needs root and openssh-server")
CONFIGS = {
    "what Paramiko cannot read": "Match final all\n  Compression yes\n",
    "another host": "Host 127.0.0.1\n  HostName 127.0.0.2\n",
    "a way through another": "Host *\n  ProxyJump nobody.invalid\n",
}


def keygen(file: Path) -> str:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file], check=True)
    return file.with_name(f"{file.name}.pub").read_text()


@pytest.fixture
def way(authority: Authority, passphrase: bytes, tmp_path: Path) -> Iterator[Way]:
    sshd = Sshd(tmp_path / "node", authority.bundle("ssh-user"), authority.krl(), "technician")
    host_key = keygen(sshd.host_key)
    signer = authority.unlock(passphrase, "ssh-user")
    certificate = signer.technician("ayu", keygen(tmp_path / "key"), ["technician"], 8)
    (tmp_path / "key-cert.pub").write_text(certificate)
    with sshd:
        identity = str(tmp_path / "key")
        yield Way(host="127.0.0.1", port=sshd.port, identity_file=identity, host_keys=(host_key,))


def user_of(way: Way) -> str:
    with opened(way) as connection:
        return str(answer(connection, "id --user --name", 30).stdout.strip())


@pytest.mark.parametrize("first", [True, False])
def test_each_of_the_pinned_keys_is_believed(way: Way, tmp_path: Path, *, first: bool) -> None:
    (shown,) = way.host_keys
    keys = (shown, keygen(tmp_path / "next"))
    assert user_of(structs.replace(way, host_keys=keys if first else keys[::-1])) == "root"


def test_no_other_key_is_believed(way: Way, tmp_path: Path) -> None:
    other = keygen(tmp_path / "other")
    with pytest.raises(UnreachableError, match="does not match"):
        user_of(structs.replace(way, host_keys=(other,)))
    with pytest.raises(UnreachableError, match="no key of it is known"):
        user_of(structs.replace(way, host_keys=()))


def test_a_login_refused_is_told_and_leaves_nothing_open(way: Way, tmp_path: Path) -> None:
    keygen(tmp_path / "strange")
    before = threading.active_count()
    stranger = structs.replace(way, identity_file=str(tmp_path / "strange"))
    with pytest.raises(RefusedError, match=r"127\.0\.0\.1: lets nobody in with your key"):
        user_of(stranger)
    with pytest.raises(UnreachableError, match="no key of it is known"):
        user_of(structs.replace(way, host_keys=()))
    until(lambda: threading.active_count() == before, "the connections to be closed")


def test_without_any_key_a_login_is_refused(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(RefusedError, match="No authentication methods available"):
        user_of(structs.replace(way, identity_file=""))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_technicians_own_settings_of_ssh_lead_nowhere_else(
    way: Way, config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text(config)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_of(way) == "root"
