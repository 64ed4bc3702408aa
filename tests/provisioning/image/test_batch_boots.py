"""Cards flashed in one batch boot each as its own node, are enrolled, and speak at the broker.

The image is our own, and the cards are as `simpul flash` made them but for one word to systemd.
Everything asked of a node is asked over SSH, by the key that the flasher put on its card.
"""

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import pytest
from services.booted_nodes import Booted, outcome
from services.desk import CARD_BYTES, Desk, open_desk
from services.flash_batches import differing_ranges, is_bootable
from services.loop_cards import needs_loop
from services.mosquitto import mosquitto_program

from provisioning.authority import ssh
from provisioning.authority.authority import Authority
from provisioning.enrol.connection import Reach, pinned, run_on
from provisioning.enrol.enrol import Request, sign
from provisioning.flash.source import open_source
from provisioning.image.boot.fat_files import read_file, write_files
from provisioning.image.boot.partitions import read_partitions
from provisioning.image.describe import Description
from provisioning.inventory import Node
from provisioning.register import now_text

pytestmark = [
    needs_loop,
    pytest.mark.timeout(5400),
    pytest.mark.skipif(mosquitto_program() is None, reason="Mosquitto is not installed"),
]
NAMES = (
    "adam-malik",
    "balai-kota",
    "dwikora",
    "lapangan",
    "pasar-horas",
    "siantar-plaza",
    "taman-bunga",
    "terminal",
)
SELECT, BOOT_A = 1, 2
ABREAST = 2  # boards under power at once, as two processors bear
SEED_FILES = ("user-data", "meta-data", "network-config")


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes one node another than its neighbour, and when it was there."""

    host_name: str
    flashed_key: str
    own_key: str
    machine_id: str
    instance_id: str
    answered_s: float
    enrolled_s: float


@pytest.fixture
def desk(
    built: tuple[Path, Description], authority: Authority, passphrase: bytes, tmp_path: Path
) -> Iterator[Desk]:
    folder, description = built
    image = folder / description.compressed.name
    with open_desk(tmp_path, authority, passphrase, names=NAMES, image=image) as desk:
        yield desk


def check_card(card: Path, plain: Path, map_file: Path, seed: range) -> None:
    """Find on a card the image to the byte, but for the partition that takes the seed."""
    with open_source(plain, map_file=map_file, cache=card.parent) as source:
        assert differing_ranges(card, plain, source, but=seed) == []
    assert is_bootable(card)


def live(desk: Desk, name: str) -> Identity:
    """Boot the card, look at who it is, enrol it, and look again."""
    with desk.boot(name) as node:
        flashed_key = node.await_flashed()
        answered_s = node.seconds()
        assert "status: done" in node.ask(flashed_key, "cloud-init", "status", "--wait")
        assert "Valid schema" in node.ask(flashed_key, "cloud-init", "schema", "--system")
        host_name = node.ask(flashed_key, "hostname")
        machine_id = node.ask(flashed_key, "cat", "/etc/machine-id")
        instance_id = node.ask(flashed_key, "cat", "/var/lib/cloud/data/instance-id")
        assert outcome(node.enrol(desk.office, desk.broker))["online"] == "good"
        enrolled_s = node.seconds()
        own_key = node.ask_certified("cat", "/etc/ssh/simpul/host_ed25519_key.pub")
        assert node.ask_certified("hostname") == host_name
        node.ask_certified("sync")
    return Identity(
        host_name, flashed_key, own_key, machine_id, instance_id, answered_s, enrolled_s
    )


def check_scrubbed(card: Path) -> None:
    """Find nothing on the FAT any more that was worth stealing."""
    select = read_partitions(card)[SELECT]
    for name in SEED_FILES:
        left = read_file(card, select, name) or b""
        assert b"PRIVATE KEY" not in left
        assert b"token" not in left


@pytest.mark.parametrize(
    "count", [pytest.param(2, marks=pytest.mark.card), pytest.param(8, marks=pytest.mark.long)]
)
def test_each_card_of_a_batch_is_a_node_of_its_own(
    count: int, desk: Desk, built: tuple[Path, Description], capsys: pytest.CaptureFixture[str]
) -> None:
    names = NAMES[:count]
    told = desk.flash(names)
    assert [card["verdict"] for card in told] == ["verified"] * count
    folder, description = built
    plain, map_file = folder / description.image.name, folder / description.bmap.name
    select = read_partitions(plain)[SELECT]
    seed = range(select.start_bytes, select.start_bytes + select.size_bytes)
    for name in names:
        check_card(desk.card(name), plain, map_file, seed)
    with ThreadPoolExecutor(max_workers=ABREAST) as pool:
        found = list(pool.map(partial(live, desk), names))
    assert [each.host_name for each in found] == list(names)
    printed = [{fingerprint(each.flashed_key)} for each in found]
    assert printed == [{*fingerprints(card)} for card in told]
    register = desk.authority.register.rows("card")
    assert {row["node"]: row["fingerprints"] for row in register} == {
        name: fingerprint(each.flashed_key) for name, each in zip(names, found, strict=True)
    }
    for what in ("flashed_key", "own_key", "machine_id", "instance_id"):
        assert len({getattr(each, what) for each in found}) == count, what
    said = (desk.broker.directory / "mosquitto.log").read_text()
    for name, each in zip(names, found, strict=True):
        assert each.own_key != each.flashed_key
        assert f"u'{name}'" in said
        check_scrubbed(desk.card(name))
    with capsys.disabled():
        print(f"\n{count} cards of one batch, {ABREAST} boards at a time, since power on:")  # noqa: T201 - the figures
        for each in found:
            print(  # noqa: T201 - as above
                f"  {each.host_name:14} answers after {each.answered_s:4.0f} s,"
                f" enrolled and heard after {each.enrolled_s:4.0f} s"
            )


def fingerprint(public_key: str) -> str:
    return ssh.fingerprint(ssh.read_public(public_key, "a test"))


def fingerprints(card: dict[str, object]) -> list[str]:
    found = card["fingerprints"]
    assert isinstance(found, list)
    return found


def write_as_imager_does(desk: Desk, name: str, plain: Path) -> None:
    """Make the node's card with another program, and put a seed onto its FAT.

    Over a folder: not every kernel that runs this can mount a FAT.
    """
    card = desk.card(name)
    subprocess.run(["cp", "--sparse=always", plain, card], check=True)
    os.truncate(card, CARD_BYTES)
    opened = desk.office.folder / "SIMPUL"
    opened.mkdir()
    done = desk.office.simpul("seed", name, "--to", opened)
    assert done.returncode == 0, done.stderr
    files = {each.name: each.read_bytes() for each in opened.iterdir()}
    assert {*files} == {*SEED_FILES}
    write_files(card, read_partitions(card)[SELECT], files)


@pytest.mark.long
def test_a_token_serves_once_and_not_late(
    desk: Desk, built: tuple[Path, Description], passphrase: bytes
) -> None:
    """A card of Imager's, a copy that somebody made of it, a cable pulled at the worst moment."""
    name = NAMES[0]
    folder, description = built
    write_as_imager_does(desk, name, folder / description.image.name)
    copied = desk.office.folder / "copied.card"
    subprocess.run(["cp", "--sparse=always", desk.card(name), copied], check=True)
    register = desk.authority.register
    with desk.boot(name) as node, desk.boot(name, copied) as copy:
        shown = node.await_flashed()
        assert copy.await_flashed() == shown
        with register.transaction() as db:
            (ends,) = db.execute("SELECT expires_at FROM token").fetchone()
            db.execute("UPDATE token SET expires_at = ?", (now_text(),))
        refused(node.enrol(desk.office, desk.broker), "the token ended on")
        with register.transaction() as db:
            db.execute("UPDATE token SET expires_at = ?", (ends,))
        pulled_before_installing(desk, node, shown, passphrase)
        refused(copy.enrol(desk.office, desk.broker), "the token was used on")
        assert outcome(node.enrol(desk.office, desk.broker))["online"] == "good"
        refused(copy.enrol(desk.office, desk.broker, timeout_s=5), "nobody with its key")
        machine_id = node.ask_certified("cat", "/etc/machine-id")
        node.ask_certified("sync")
    # The seed is gone; who the node is, is not.
    with desk.boot(name) as again:
        again.await_flashed()
        assert again.ask_certified("hostname") == name
        assert again.ask_certified("cat", "/etc/machine-id") == machine_id
        assert outcome(again.enrol(desk.office, desk.broker))["online"] == "good"


def pulled_before_installing(desk: Desk, node: Booted, shown: str, passphrase: bytes) -> None:
    """Have the node's request signed, and lose the answer."""
    chosen = Node(name=node.name)
    trust = pinned(node.name, shown, desk.authority.krl())
    reach = Reach(host="127.0.0.1", port=node.port, identity_file=str(node.key))
    text = run_on(reach, node.name, trust, [*reach.program, "enrol", "request"])
    request = msgspec.json.decode(text, type=Request)
    signer = desk.authority.unlock(passphrase, "mqtt", "ssh-host")
    sign(desk.authority, signer, chosen, request, flashed=True)


def refused(done: subprocess.CompletedProcess[str], words: str) -> None:
    assert done.returncode == 1, done.stdout
    assert words in done.stderr
    assert "Traceback" not in done.stderr
