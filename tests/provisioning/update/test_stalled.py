"""A node that stalls, as one with a dying card does, is given up; a real sshd is stopped."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from services.sshd import Sshd, sshd_missing
from services.waiting import until

from provisioning.authority.authority import Authority
from provisioning.remote.over_ssh import _run
from provisioning.update import link
from provisioning.update.errors import NodeError, UnreachableError
from provisioning.update.link import Way, connected, opened

pytestmark = pytest.mark.skipif(sshd_missing(), reason="needs root and openssh-server")
STALL_S = 2.0
MANY_BYTES = 1 << 30


class Node:
    """A node over a real sshd, of which all that serves a connection can be stopped."""

    def __init__(self, sshd: Sshd, way: Way, incoming: Path) -> None:
        self.sshd = sshd
        self.way = way
        self.incoming = incoming

    def stall(self) -> None:
        self._signal(signal.SIGSTOP)

    def end(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        for pid in descendants(self.sshd.pid):
            os.kill(pid, number)


def descendants(pid: int) -> list[int]:
    """Return the processes below `pid`, the eldest first."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        return []  # it has ended meanwhile
    children = [int(word) for word in text.split()]
    return [each for child in children for each in (child, *descendants(child))]


def keygen(file: Path) -> str:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file], check=True)
    return file.with_name(f"{file.name}.pub").read_text()


@pytest.fixture
def subsystem() -> str:
    return "internal-sftp"


@pytest.fixture
def node(
    authority: Authority,
    passphrase: bytes,
    tmp_path: Path,
    subsystem: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Node]:
    incoming = tmp_path / "incoming"
    monkeypatch.setattr(link, "INCOMING", PurePosixPath(incoming))
    sshd = Sshd(tmp_path / "node", authority.bundle("ssh-user"), authority.krl(), "technician")
    host_key = keygen(sshd.host_key)
    with sshd.config.open("a") as config:
        config.write(f"Subsystem sftp {subsystem}\n")
    signer = authority.unlock(passphrase, "ssh-user")
    certificate = signer.technician("ayu", keygen(tmp_path / "key"), ["technician"], 8)
    (tmp_path / "key-cert.pub").write_text(certificate)
    with sshd:
        way = Way(
            host="127.0.0.1",
            port=sshd.port,
            identity_file=str(tmp_path / "key"),
            host_keys=(host_key,),
            stall_s=STALL_S,
        )
        node = Node(sshd, way, incoming)
        yield node
        node.end()


def test_one_that_stalls_before_a_command_is_given_up(node: Node) -> None:
    with connected(node.way) as session:
        node.stall()
        with pytest.raises(UnreachableError, match=r"127\.0\.0\.1: "):
            session.status()


def test_one_that_stalls_before_a_file_is_given_up(node: Node, tmp_path: Path) -> None:
    with connected(node.way) as session:
        node.stall()
        with pytest.raises(UnreachableError, match=r"127\.0\.0\.1: "):
            session.send(tmp_path / "key")


def test_one_that_stalls_before_its_journal_is_given_up(node: Node) -> None:
    with opened(node.way) as connection:
        node.stall()
        with pytest.raises(UnreachableError, match=r"127\.0\.0\.1: "):
            list(_run(connection, "true", follow=True))


def test_a_file_that_a_full_disk_does_not_take_leaves_nothing(
    node: Node, small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    incoming = small_disk / "incoming"
    monkeypatch.setattr(link, "INCOMING", PurePosixPath(incoming))
    bundle = tmp_path / "large.bundle"
    bundle.write_bytes(bytes(2 << 20))
    with connected(node.way) as session, pytest.raises(NodeError, match="is its disk full"):
        session.send(bundle)
    assert not [*incoming.iterdir()]


def test_one_that_stalls_amid_a_file_is_given_up(node: Node, tmp_path: Path) -> None:
    bundle = tmp_path / "large.bundle"
    with bundle.open("wb") as file:
        file.truncate(MANY_BYTES)
    sent = node.incoming / bundle.name

    def stall() -> None:
        until(lambda: sent.exists() and sent.stat().st_size > 0, "the file to come")
        node.stall()

    stalls = threading.Thread(target=stall)
    with connected(node.way) as session:
        stalls.start()
        with pytest.raises(UnreachableError, match=r"127\.0\.0\.1: "):
            session.send(bundle)
        stalls.join()
    assert sent.stat().st_size < MANY_BYTES


@pytest.mark.parametrize("subsystem", ["/bin/sleep 1000"])
def test_files_that_nobody_takes_are_given_up(node: Node, tmp_path: Path) -> None:
    with (
        connected(node.way) as session,
        pytest.raises(UnreachableError, match=r"127\.0\.0\.1: "),
    ):
        session.send(tmp_path / "key")
