"""Labels are on the disk as soon as their card is good, and a place for them is sought before."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from services.card_images import MIB, make_image
from services.flash_batches import assign
from services.loop_cards import loop_card, needs_loop
from services.waiting import until

from provisioning.flash.batch import Assignment
from provisioning.flash.device import Device
from provisioning.flash.errors import StationError
from provisioning.flash.sheet import LabelSheet

ROOT = Path(__file__).parents[3]
CARD_BYTES = 96 * MIB
INVENTORY = "[site]\nnode-0\nnode-1\n[nodes:children]\nsite\n"


def cards(count: int) -> list[Assignment]:
    return assign([Device(name=f"sd{number}", number="", bus="usb") for number in range(count)])


def pages(file: Path) -> int:
    return len(re.findall(rb"/Type /Page\b", file.read_bytes()))


def test_each_good_card_has_its_label_at_once(tmp_path: Path) -> None:
    sheet, made = LabelSheet(tmp_path / "new/labels.pdf"), cards(3)
    sheet.add(made)
    assert list((tmp_path / "new").iterdir()) == []
    for number, card in enumerate(made):
        card.progress.end("verified" if number else "failed")
        sheet.add(made)
        assert not number or pages(tmp_path / "new/labels.pdf") == number
    before = (tmp_path / "new/labels.pdf").stat()
    sheet.add(made)
    sheet.finish(made)
    assert (tmp_path / "new/labels.pdf").stat() == before
    assert [each.name for each in (tmp_path / "new").iterdir()] == ["labels.pdf"]


def test_labels_that_fail_meanwhile_are_told_of_at_the_end(tmp_path: Path) -> None:
    """The other cards go on; once there is room again, nothing is lost."""
    sheet, made = LabelSheet(tmp_path / "new/labels.pdf"), cards(1)
    (tmp_path / "new").rmdir()
    (tmp_path / "new").touch()
    made[0].progress.end("verified")
    sheet.add(made)
    with pytest.raises(StationError, match="cannot be written"):
        sheet.finish(made)
    (tmp_path / "new").unlink()
    sheet.finish(made)
    assert pages(tmp_path / "new/labels.pdf") == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("/proc/labels.pdf", "could not be written there"),
        ("/dev/null/labels.pdf", "could not be written there"),
        (f"{'x' * 250}.pdf", "File name too long"),
        ("/dev/null", "not a file"),
        (".", "not a file"),
    ],
)
def test_a_place_that_takes_no_labels_is_found_out_first(
    name: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(StationError, match=words):
        LabelSheet(tmp_path / name)


def test_no_labels_are_wanted(tmp_path: Path) -> None:
    sheet, made = LabelSheet(None), cards(1)
    made[0].progress.end("verified")
    sheet.add(made)
    sheet.finish(made)
    assert list(tmp_path.iterdir()) == []


@needs_loop
def test_a_killed_station_loses_no_label(station_directory: Path) -> None:
    desk = station_directory
    image = make_image(desk, data_bytes=8 * MIB)
    (desk / "inventory.ini").write_text(INVENTORY)
    slots = "".join(f'{number} = "loop{number}"\n' for number in range(64))
    (desk / "station.toml").write_text(f"[slots]\n{slots}")
    words = ["--image", str(image.packed), "--allow-loop", "--screen=none", "--json"]
    words += ["--labels", "labels.pdf"]
    with (desk / "said").open("w") as said:
        station = subprocess.Popen(
            [sys.executable, "-m", "provisioning", "station", "node-0", "node-1", *words],
            cwd=desk,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "XDG_STATE_HOME": str(desk / "state"),
                "XDG_CACHE_HOME": str(desk / "cache"),
            },
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
    try:
        until(lambda: "waiting" in (desk / "said").read_text(), "the station", seconds=90)
        with loop_card(desk / "card", CARD_BYTES):
            until(lambda: "verified" in (desk / "said").read_text(), "the card", seconds=90)
            until((desk / "labels.pdf").exists, "its label", seconds=30)
            station.send_signal(signal.SIGKILL)
            station.wait()
    finally:
        station.kill()
        station.wait()
    assert pages(desk / "labels.pdf") == 1
