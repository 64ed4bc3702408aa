"""A node is believed by any of its pinned keys, and found where the inventory says; a real sshd."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs
from services.sshd import Sshd, sshd_missing

from provisioning.authority.authority import Authority
from provisioning.update.errors import UnreachableError
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


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_technicians_own_settings_of_ssh_lead_nowhere_else(
    way: Way, config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text(config)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_of(way) == "root"
