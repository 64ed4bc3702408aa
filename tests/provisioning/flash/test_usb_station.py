"""A station in a guest with real USB: cards are put in, pulled and put back, and the bus is lost.

The command itself, the kernel's own usb-storage and xhci drivers, and the kernel's events.
"""

import json
import shutil
import sys
import threading
from pathlib import Path

import pytest
from services.card_images import MIB, SEED_FAT, CardImage, make_image
from services.flash_batches import differing_ranges, first_block, is_bootable, untouched
from services.guest import Ran, run_in_guest, why_no_guest
from services.usb_cards import UsbPorts, usb_machine
from services.waiting import until

from provisioning.flash.source import open_source

pytestmark = [
    pytest.mark.guest,
    pytest.mark.skipif(bool(why_no_guest()), reason=why_no_guest() or "can"),
    pytest.mark.timeout(1300),
]
ROOT = Path(__file__).parents[3]
CARD_BYTES = 96 * MIB
SEED = range(SEED_FAT[0], SEED_FAT[0] + SEED_FAT[1])
INVENTORY = "[site]\nnode-0\nnode-1\nnode-2\n[nodes:children]\nsite\n"
# usb-storage of QEMU is a SuperSpeed device: the ports of the second root hub. Port 4 is no slot.
STATION = '[slots]\n1 = "2-1:0"\n2 = "2-2:0"\n3 = "2-3:0"\n'
CONTROLLER = "/sys/bus/pci/drivers/xhci_hcd"
# The register is in memory: a 9p share has no locks for SQLite.
COMMAND = f"""
modprobe -a xhci_pci usb_storage sd_mod || exit 70
cp -r /run/guest/desk /tmp/desk && cd /tmp/desk || exit 71
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={ROOT} PYTHONUNBUFFERED=1
export XDG_STATE_HOME=/run/guest/state XDG_CACHE_HOME=/tmp/cache
(
    until [ -e /run/guest/lose-the-bus ]; do sleep 0.2; done
    device=$(basename {CONTROLLER}/0*)
    echo "$device" > {CONTROLLER}/unbind
    echo "$device" > {CONTROLLER}/bind
    touch /run/guest/bus-is-back
) &
{sys.executable} -m provisioning station node-0 node-1 node-2 --json \
    --image /run/guest/image/card.img.zst > /run/guest/outcomes.json 2> /run/guest/said
status=$?
cp register.db /run/guest/
exit $status
"""


@pytest.fixture
def desk(authority_made: Path, tmp_path: Path) -> Path:
    """Return the folder that the guest shares, with the station's desk and the image in it."""
    guest = tmp_path / "guest"
    shutil.copytree(authority_made, guest / "desk")
    (guest / "desk/inventory.ini").write_text(INVENTORY)
    (guest / "desk/station.toml").write_text(STATION)
    (guest / "image").mkdir()
    return guest


def test_cards_come_and_go(desk: Path, tmp_path: Path) -> None:
    image = make_image(desk / "image", data_bytes=24 * MIB)
    cards = [tmp_path / f"card-{number}" for number in range(4)]
    for card in cards:
        card.write_bytes(b"what was on the card before".ljust(CARD_BYTES, b"\0"))
    monitor = tmp_path / "monitor"
    ended: list[Ran] = []
    machine = usb_machine(monitor, cards, bytes_per_second=6 * MIB)
    guest = threading.Thread(
        target=lambda: ended.append(run_in_guest(COMMAND, desk, timeout_s=1200, machine=machine))
    )
    guest.start()
    with UsbPorts(monitor) as ports, untouched([cards[3]]):
        play(ports, desk, cards)
        guest.join()
    outcomes = json.loads((desk / "outcomes.json").read_text())
    assert ended[0].status == 0, (desk / "said").read_text() + ended[0].console[-2000:]
    assert_all_good(outcomes, image, cards[:3], tmp_path)
    assert "finished already" in (desk / "said").read_text()


def play(ports: UsbPorts, desk: Path, cards: list[Path]) -> None:
    """Put in two cards and one where no slot is; pull one; lose the whole bus."""
    until(lambda: "waiting for cards" in said(desk), "the station", seconds=900)
    ports.plug(3, 4)
    ports.plug(0, 1)
    until(lambda: progress(desk) >= 1, "a checkpoint of the first card", seconds=300)
    ports.pull(0)
    assert not is_bootable(cards[0])
    ports.plug(1, 2)
    until(lambda: "failed" in said(desk), "the verdict", seconds=300)
    ports.plug(0, 1)
    until(lambda: is_bootable(cards[0]) and is_bootable(cards[1]), "two cards", seconds=300)
    ports.plug(2, 3)
    until(lambda: b"does not boot" in first_block(cards[2]), "the mark of the third", seconds=300)
    (desk / "lose-the-bus").touch()
    until((desk / "bus-is-back").exists, "the bus", seconds=300)


def said(desk: Path) -> str:
    file = desk / "said"
    return file.read_text() if file.exists() else ""


def progress(desk: Path) -> int:
    """Return how many checkpoints the journals hold."""
    folder = desk / "state/simpul/flash"
    if not folder.exists():
        return 0
    return sum(max(len(each.read_bytes().split(b"\n")) - 2, 0) for each in folder.iterdir())


def assert_all_good(
    outcomes: list[dict[str, object]], image: CardImage, cards: list[Path], tmp_path: Path
) -> None:
    good = [each for each in outcomes if each["verdict"] == "verified"]
    assert sorted(str(each["node"]) for each in good) == ["node-0", "node-1", "node-2"]
    assert {each["serial"] for each in good} == {"SIMPUL0000", "SIMPUL0001", "SIMPUL0002"}
    assert [each["verdict"] for each in outcomes].count("failed") == len(outcomes) - len(good)
    resumed = [each["serial"] for each in good if each["resumed_bytes"]]
    assert "SIMPUL0000" in resumed
    with open_source(image.packed, cache=tmp_path / "cache") as source:
        for card in cards:
            assert differing_ranges(card, image.plain, source, but=SEED) == []
            assert is_bootable(card)
