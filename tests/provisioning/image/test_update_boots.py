"""The built image updates itself on an emulated board: a good bundle stays, a sick one goes back.

In order, on one card: each test goes on where the one before it stopped.
"""

import base64
import datetime as dt
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from services.image_guest import SHELL_WORDS, add_words, ask, wait_for_shell
from services.powercut import replay, sparse_copy
from services.powercut_card import BOOT, PHASES, ROOT, Judge, System, digest, judge_all, phase_of
from services.range_server import Served, range_server

from provisioning.image.boot.birth import birth_seed, write_seed
from provisioning.image.boot.board import Board
from provisioning.image.boot.fat_files import read_file
from provisioning.image.boot.partitions import Partition, read_partitions
from provisioning.image.boot.qemu import Machine
from provisioning.image.boot.tasks import card_copy
from provisioning.image.bundle import BundleOrder, make_bundle
from provisioning.image.bundle_keys import BundleKeys, make_keys
from provisioning.image.describe import Description

BOOT_SECONDS_MAX = 1800
INSTALL_SECONDS_MAX = 3000
SLOT_BOOT = "/usr/lib/simpul/slot-boot"
OPERATION = "de.pengutronix.rauc / de.pengutronix.rauc.Installer Operation"
HOST = "http://10.0.2.2"
pytestmark = [pytest.mark.long, pytest.mark.timeout(4 * 3600)]


@dataclass(slots=True)
class Workshop:
    """The card, what it was before, and the bundles offered to it."""

    folder: Path
    card: Path
    base: Path
    keys: BundleKeys
    server: Served
    notes: list[str] = field(default_factory=list)

    @property
    def log(self) -> Path:
        """Every write to the card during the good update."""
        return self.folder / "card.log"

    @property
    def bundles(self) -> Path:
        """What is served over HTTP."""
        return self.folder / "bundles"


@pytest.fixture(scope="module")
def workshop(
    built: tuple[Path, Description], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workshop]:
    images, description = built
    folder = tmp_path_factory.mktemp("update")
    card = card_copy(images / description.image.name, folder / "card.img")
    add_words(card, SHELL_WORDS)
    keys = make_keys(folder / "keys", dt.datetime.now(dt.UTC))
    (folder / "bundles").mkdir()
    order = BundleOrder(
        image=card,
        version="7.0.0",
        compatible="simpul-debian-node",
        keys=keys,
        output=folder / "bundles/good.raucb",
    )
    make_bundle(order)
    sick = folder / "sick.img"
    sparse_copy(card, sick)
    add_words(sick, "systemd.mask=simpul-node.service")
    make_bundle(
        BundleOrder(
            image=sick,
            version="8.0.0",
            compatible=order.compatible,
            keys=keys,
            output=folder / "bundles/sick.raucb",
        )
    )
    sick.unlink()
    write_seed(card, birth_seed("taman-bunga", "10.0.2.100:1883"))
    sparse_copy(card, folder / "base.img")
    with range_server(folder / "bundles") as server:
        yield Workshop(folder, card, folder / "base.img", keys, server)


def trust(board: Board, keys: BundleKeys) -> None:
    """Give the system the fleet's authority, as an image is built with it."""
    text = base64.b64encode(keys.authority.read_bytes()).decode()
    ask(board, f"echo {text} | base64 -d > /etc/rauc/keyring.pem; systemctl restart rauc")


def until(board: Board, command: str, wanted: str, *, tries: int = 120) -> None:
    """Ask until the answer is `wanted`; the guest itself waits between."""
    for _ in range(tries):
        if (said := ask(board, f"{command}; sleep 2")) == [wanted]:
            return
    raise AssertionError(f"{command} says {said}")


def test_a_good_bundle_is_installed_boots_and_is_confirmed(workshop: Workshop) -> None:
    workshop.log.write_bytes(b"")
    with Board(workshop.card, Machine(write_log=workshop.log)) as board:
        wait_for_shell(board, timeout_s=BOOT_SECONDS_MAX, boot=0)
        until(board, "systemctl is-active simpul-node.service", "active")
        trust(board, workshop.keys)
        assert ask(board, f"{SLOT_BOOT} get-current") == ["a"]
        assert ask(board, f"{SLOT_BOOT} get-state b") == ["bad"]
        assert ask(board, f"busctl get-property {OPERATION}") == ['s "idle"']
        url = f"{HOST}:{workshop.server.port}/good.raucb"
        fetch = f"import urllib.request as u; u.urlretrieve('{url}', '/data/bundle.raucb')"
        ask(board, f'python3 -c "{fetch}"; sync /data/bundle.raucb', timeout_s=INSTALL_SECONDS_MAX)
        first = len(board.lines)
        board.send("/usr/lib/simpul/os-update /data/bundle.raucb")
        board.wait_for("bundle.raucb. succeeded", timeout_s=INSTALL_SECONDS_MAX, after=first)
        wait_for_shell(board, timeout_s=BOOT_SECONDS_MAX, boot=1)
        assert board.boots[1].decision.partition.number == BOOT["b"]
        assert board.boots[1].decision.tryboot
        until(board, f"{SLOT_BOOT} on-trial; echo $?", "1", tries=300)
        assert ask(board, f"{SLOT_BOOT} get-primary") == ["b"]
        assert ask(board, "findmnt -no SOURCE /data") != []
        # No seed made this slot: accounts are the image's, and these folders are both slots'.
        assert ask(board, "id -u simpul; id -u technician") == ["700", "1000"]
        assert ask(board, "getent shadow technician | cut -d: -f8") == [""]
        for shared in ("/var/lib/cloud", "/var/lib/simpul", "/var/lib/systemd/timesync"):
            assert ask(board, f"findmnt -no FSTYPE {shared}") == ["ext4"], shared
        board.send("systemctl poweroff")
        board.wait_off(BOOT_SECONDS_MAX)


def test_no_power_cut_of_it_bricks_the_card(
    workshop: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judge = Judge(workshop.base, good_systems(workshop, tmp_path), tmp_path)
    figures = judge_all(workshop.base, workshop.log, tmp_path, judge, data_every=10)
    with capsys.disabled():
        print(f"\n{figures.table()}")  # noqa: T201 - the figures are what the test is for
    assert figures.bricks == []
    assert figures.damaged_data == []
    assert set(figures.states) == set(PHASES)


def good_systems(workshop: Workshop, folder: Path) -> dict[str, list[System]]:
    """Return what the slots may hold: slot A as it was, slot B what the bundle says."""
    parts = read_partitions(workshop.base)
    content = folder / "content"
    config = folder / "system.conf"
    config.write_text(
        "[system]\ncompatible=simpul-debian-node\nbootloader=noop\n[keyring]\n"
        f"path={workshop.keys.authority}\ncheck-purpose=codesign\n"
    )
    command = ["rauc", f"--conf={config}", "extract", str(workshop.bundles / "good.raucb")]
    subprocess.run([*command, str(content)], check=True, capture_output=True)
    wanted = folder / "wanted.img"
    sparse_copy(workshop.base, wanted)
    for name, number in (("boot.img", BOOT["b"]), ("root.img", ROOT["b"])):
        place = f"of={wanted}", f"seek={parts[number].start_bytes}"
        words = ["dd", f"if={content / name}", *place, "bs=1M", "oflag=seek_bytes", "conv=notrunc"]
        subprocess.run(words, check=True, capture_output=True)
    line = read_file(wanted, parts[BOOT["b"]], "cmdline.txt") or b""
    own = line.replace(b"53494d50-05", b"53494d50-06").replace(b"slot=a", b"slot=b")
    # Its clusters need not lie side by side; all that differs stands in the first.
    end = line.index(b"slot=a") + len(b"slot=a")
    overwrite(wanted, parts[BOOT["b"]], line[:end], own[:end])
    root_bytes = (content / "root.img").stat().st_size
    shutil.rmtree(content)
    found = {}
    for slot in "ab":
        boot, root = parts[BOOT[slot]], parts[ROOT[slot]]
        found[slot] = [
            System(
                boot=digest(wanted, boot, boot.size_bytes),
                root=digest(wanted, root, root_bytes),
                root_bytes=root_bytes,
            )
        ]
    wanted.unlink()
    return found


def overwrite(card: Path, part: Partition, old: bytes, new: bytes) -> None:
    """Replace the start of the boot line, in place; deleted copies of it lie around."""
    with card.open("r+b", buffering=0) as file:
        file.seek(part.start_bytes)
        for found in re.finditer(re.escape(old), file.read(part.size_bytes)):
            place = part.start_bytes + found.start()
            os.pwrite(file.fileno(), new, place)
            if (read_file(card, part, "cmdline.txt") or b"").startswith(new):
                return
            os.pwrite(file.fileno(), old, place)
    raise AssertionError("the boot line is not where it was read")


def test_a_sample_of_cut_cards_boots(workshop: Workshop, tmp_path: Path) -> None:
    phases = phase_of(workshop.base, workshop.log)
    middle = {phase: phases.index(phase) + phases.count(phase) // 2 for phase in PHASES}
    taken: dict[str, Path] = {}
    for crash in replay(workshop.base, workshop.log, tmp_path):
        phase = phases[crash.entry]
        if crash.entry >= middle[phase] and phase not in taken:
            taken[phase] = tmp_path / f"cut-{len(taken)}.img"
            sparse_copy(crash.disk, taken[phase])
    assert set(taken) == set(PHASES)
    for card in taken.values():
        with Board(card) as board:
            wait_for_shell(board, timeout_s=BOOT_SECONDS_MAX, boot=0)
            until(board, "systemctl is-active simpul-node.service", "active")
        card.unlink()


def test_a_sick_bundle_is_streamed_tried_and_left(workshop: Workshop) -> None:
    with Board(workshop.card, Machine()) as board:
        wait_for_shell(board, timeout_s=BOOT_SECONDS_MAX, boot=0)
        # The shell is there early; rauc's command waits for good when the bus is not there yet.
        until(board, "systemctl is-active simpul-node.service", "active")
        assert ask(board, f"{SLOT_BOOT} get-current") == ["b"]
        sent_bytes = workshop.server.sent_bytes
        first = len(board.lines)
        url = f"{HOST}:{workshop.server.port}/sick.raucb"
        board.send(f"/usr/lib/simpul/os-update {url}")
        board.wait_for("sick.raucb. succeeded", timeout_s=INSTALL_SECONDS_MAX, after=first)
        streamed_bytes = workshop.server.sent_bytes - sent_bytes
        assert streamed_bytes < (workshop.bundles / "sick.raucb").stat().st_size / 3
        wait_for_shell(board, timeout_s=BOOT_SECONDS_MAX, boot=1)
        assert board.boots[1].decision.partition.number == BOOT["a"]
        assert board.boots[1].decision.tryboot
        wait_for_shell(board, timeout_s=BOOT_SECONDS_MAX, boot=2)
        assert board.boots[2].decision.partition.number == BOOT["b"]
        until(board, f"{SLOT_BOOT} get-state a", "bad")
        assert ask(board, f"{SLOT_BOOT} get-primary") == ["b"]
        said = ask(board, "journalctl --boot=-1 --unit=simpul-slot-confirm --output=cat")
        said += ask(board, "journalctl --boot=0 --unit=simpul-slot-settle --output=cat")
        assert any(re.search("trial of slot a failed", line) for line in said), said
