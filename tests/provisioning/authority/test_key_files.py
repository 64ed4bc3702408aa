"""A signing key is never replaced nor lost: not by another register, at once, or when cut short."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cryptography import x509

from provisioning.authority import authority as module
from provisioning.authority.authority import Authority
from provisioning.authority.errors import AuthorityError
from provisioning.authority.keys import SigningKey, lock, open_key
from provisioning.register import Register

ROOT = Path(__file__).parents[3]
# Ends as by a power cut, before or after the register's transaction is over.
_CUT = """
import os, signal, sys
from contextlib import contextmanager
from pathlib import Path
from provisioning.authority.authority import Authority
from provisioning.register import Register

folder, when, what = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
authority = Authority(folder / "authority", Register(folder / "register.db"))
whole = authority.register.transaction

@contextmanager
def cut():
    with whole() as db:
        yield db
        written = db.total_changes
        if when == "before" and written:
            os.kill(os.getpid(), signal.SIGKILL)
    if when == "after" and written:
        os.kill(os.getpid(), signal.SIGKILL)

authority.register.transaction = cut
passphrase = sys.stdin.buffer.read()
authority.init(passphrase) if what == "init" else authority.rotate("mqtt", passphrase)
"""


def kept(folder: Path) -> dict[str, bytes]:
    """Return what every file of the folder holds, by its name."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def cut_short(folder: Path, when: str, what: str, passphrase: bytes) -> None:
    """Make keys in a process that ends by SIGKILL amid it."""
    done = subprocess.run(
        [sys.executable, "-c", _CUT, str(folder), when, what],
        input=passphrase,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == -signal.SIGKILL


def assert_fits(authority: Authority, number: int, passphrase: bytes) -> None:
    """Look whether the newest MQTT key in the folder is the one that the register knows."""
    newest = authority.trusted("mqtt")[-1]
    assert newest.number == number
    file = authority.directory / f"mqtt-{number}.key"
    recorded = x509.load_pem_x509_certificate(newest.public.encode()).public_key()
    assert open_key(file.read_bytes(), passphrase, "").public_key() == recorded


def test_another_register_does_not_cost_the_keys(
    authority: Authority, tmp_path: Path, passphrase: bytes
) -> None:
    before = kept(authority.directory)
    other = Authority(authority.directory, Register(tmp_path / "other.db"))
    with pytest.raises(AuthorityError, match=r"mqtt-1\.key exists; bring back its register"):
        other.init(passphrase)
    assert kept(authority.directory) == before
    assert other.generations() == []
    authority.unlock(passphrase)


def test_keys_of_which_one_is_in_the_way_are_not_half_made(
    authority: Authority, tmp_path: Path, passphrase: bytes
) -> None:
    for name in ("mqtt-1.key", "ssh-host-1.key"):
        (authority.directory / name).unlink()
    before = kept(authority.directory)
    other = Authority(authority.directory, Register(tmp_path / "other.db"))
    with pytest.raises(AuthorityError, match=r"ssh-user-1\.key exists"):
        other.init(passphrase)
    assert kept(authority.directory) == before


def test_two_rotations_at_once_make_one_key(
    authority: Authority, passphrase: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_know_the_newest = threading.Barrier(2)

    def waiting_lock(key: SigningKey, word: bytes) -> bytes:
        both_know_the_newest.wait(60)
        return lock(key, word)

    monkeypatch.setattr(module, "lock", waiting_lock)
    refused: list[Exception] = []

    def rotate() -> None:
        try:
            Authority(authority.directory, Register(authority.register.file)).rotate(
                "mqtt", passphrase
            )
        except AuthorityError as error:
            refused.append(error)

    threads = [threading.Thread(target=rotate) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    (error,) = refused
    assert "mqtt 2 was made meanwhile by" in str(error)
    assert_fits(authority, 2, passphrase)
    assert len(kept(authority.directory)) == 4


@pytest.mark.parametrize("what", ["init", "rotate"])
def test_a_making_that_was_killed_is_made_again_and_its_key_kept(
    authority: Authority, tmp_path: Path, passphrase: bytes, what: str
) -> None:
    folder = tmp_path
    if what == "init":
        folder = tmp_path / "new"
        folder.mkdir()
    cut_short(folder, "before", what, passphrase)
    mine = Authority(folder / "authority", Register(folder / "register.db"))
    number = 1 if what == "init" else 2
    name = f"mqtt-{number}.key"
    left = (mine.directory / name).read_bytes()
    assert len(mine.generations()) == (0 if what == "init" else 3)
    if what == "init":
        mine.init(passphrase)
    else:
        mine.rotate("mqtt", passphrase)
    assert_fits(mine, number, passphrase)
    aside = [file for file, held in kept(mine.directory).items() if held == left]
    assert len(aside) == 1
    assert aside[0].startswith(f"{name}.unused-")
    assert not [file for file in kept(mine.directory) if file.startswith(".")]
    assert authority.generations()


def test_a_making_that_was_killed_is_not_made_again_for_another_register(
    tmp_path: Path, passphrase: bytes
) -> None:
    cut_short(tmp_path, "before", "init", passphrase)
    before = kept(tmp_path / "authority")
    other = Authority(tmp_path / "authority", Register(tmp_path / "other.db"))
    with pytest.raises(AuthorityError, match=r"mqtt-1\.key exists; bring back its register"):
        other.init(passphrase)
    assert kept(tmp_path / "authority").items() >= before.items()


def test_keys_that_were_noted_are_whole_whenever_the_making_ends(
    tmp_path: Path, passphrase: bytes
) -> None:
    cut_short(tmp_path, "after", "init", passphrase)
    mine = Authority(tmp_path / "authority", Register(tmp_path / "register.db"))
    assert_fits(mine, 1, passphrase)
    mine.unlock(passphrase)
    other = Authority(tmp_path / "authority", Register(tmp_path / "other.db"))
    with pytest.raises(AuthorityError, match="bring back its register"):
        other.init(passphrase)
    mine.unlock(passphrase)


def test_a_key_that_the_register_does_not_know_signs_nothing(
    authority: Authority, tmp_path: Path, passphrase: bytes
) -> None:
    foreign = Authority(tmp_path / "foreign", Register(tmp_path / "foreign.db"))
    foreign.init(passphrase)
    for kind in ("mqtt", "ssh-user"):
        file = authority.directory / f"{kind}-1.key"
        file.write_bytes((foreign.directory / file.name).read_bytes())
        with pytest.raises(AuthorityError, match=rf"{kind}-1\.key: is another key .*register\.db"):
            authority.unlock(passphrase, kind)
    with pytest.raises(AuthorityError, match="another key"):
        authority.publish(passphrase)
    file = authority.directory / "ssh-host-1.key"
    file.write_bytes((foreign.directory / "mqtt-1.key").read_bytes())
    with pytest.raises(AuthorityError, match="another key"):
        authority.unlock(passphrase, "ssh-host")
