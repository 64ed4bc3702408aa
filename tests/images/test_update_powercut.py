"""RAUC updates a card in a guest: what it refuses, and every power cut of what it installs.

The card is small; its layout, the configuration, the boot selection and RAUC itself are those of a
node. Nothing is booted: see test_update_boots for that.
"""

import datetime as dt
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from services.guest import Ran, why_no_guest
from services.powercut import cut_out
from services.powercut_card import BOOT, PHASES, ROOT, Figures, Judge, judge_all, region
from services.powercut_log import Flag, read_log
from services.trixie import why_no_trixie
from services.update_guest import Workshop, bundle, good_systems, open_workshop, run_update

from provisioning.image.boot.partitions import read_partitions
from provisioning.image.bundle_keys import make_keys

pytestmark = [
    pytest.mark.guest,
    pytest.mark.long,
    pytest.mark.skipif(bool(why_no_guest()), reason=why_no_guest()),
    pytest.mark.skipif(bool(why_no_trixie()), reason=why_no_trixie()),
    pytest.mark.timeout(1800),
]
STEPS = """
prepare; power_on a
for name in older foreign other truncated tampered; do offer "$name.raucb"; done
echo "== slots"; rauc status --output-format=shell
echo "== touched"; cat /dev/vda3 /dev/vda6 | cmp -s - "$given/slot-b" && echo 0
echo "== good"
update new.raucb
power_off; power_on b
/usr/lib/simpul/slot-boot on-trial
rauc status mark-good
echo "== end"; rauc status --output-format=shell
power_off
"""
REASONS = {
    "older.raucb": "Version mismatch: Expected at least '1.1.0' but bundle manifest has '1.0.9'",
    "foreign.raucb": "signature verification failed",
    "other.raucb": "Compatible mismatch",
    "truncated.raucb": "Invalid bundle format",
    "tampered.raucb": "the bundle is damaged: fetch it again",
}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    folder = tmp_path_factory.mktemp("update")
    workshop = open_workshop(folder)
    good = bundle(workshop, "new.raucb", "1.2.0").read_bytes()
    bundle(workshop, "older.raucb", "1.0.9")
    foreign = make_keys(folder / "foreign", dt.datetime.now(dt.UTC))
    bundle(workshop, "foreign.raucb", "1.2.0", foreign)
    bundle(workshop, "other.raucb", "1.2.0", compatible="simpul-node-other")
    (workshop.exchange / "truncated.raucb").write_bytes(good[: len(good) * 9 // 10])
    tampered = bytearray(good)
    tampered[len(good) // 2] ^= 1
    (workshop.exchange / "tampered.raucb").write_bytes(tampered)
    parts = read_partitions(workshop.base)
    with (workshop.exchange / "slot-b").open("wb") as out:
        for number in (BOOT["b"], ROOT["b"]):
            cut_out(workshop.base, region(parts[number]), folder / "part")
            out.write((folder / "part").read_bytes())
    return workshop


@pytest.fixture(scope="module")
def ran(workshop: Workshop) -> Ran:
    return run_update(workshop, STEPS)


@pytest.fixture
def judge(workshop: Workshop, tmp_path: Path) -> Judge:
    return Judge(workshop.base, good_systems(workshop), tmp_path)


def said(ran: Ran, heading: str) -> str:
    return ran.output.split(f"== {heading}\n", 1)[1].split("\n== ", 1)[0]


def test_a_good_bundle_is_installed_tried_and_confirmed(ran: Ran) -> None:
    assert ran.status == 0, ran.output
    end = said(ran, "end")
    assert "RAUC_BOOT_PRIMARY='rootfs.1'" in end
    assert "RAUC_SYSTEM_BOOTED_BOOTNAME='/dev/vda6'" in end


@pytest.mark.parametrize("name", REASONS)
def test_any_other_bundle_is_refused_and_told_why(ran: Ran, name: str) -> None:
    assert REASONS[name] in said(ran, name)


def test_a_refused_bundle_leaves_both_slots_as_they_were(ran: Ran) -> None:
    assert "RAUC_BOOT_PRIMARY='rootfs.0'" in said(ran, "slots")
    assert said(ran, "touched") == "0"


def test_no_power_cut_bricks_the_card(
    ran: Ran,
    workshop: Workshop,
    judge: Judge,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ran.status == 0, ran.output
    figures = judge_all(workshop.base, workshop.log, tmp_path, judge, data_every=1)
    with capsys.disabled():
        print(f"\n{figures.table()}")  # noqa: T201 - the figures are what the test is for
    assert figures.bricks == []
    assert figures.damaged_data == []
    assert set(figures.states) == set(PHASES)
    assert {slot for phase, slot in figures.slots if phase == "commit"} >= {"b"}


def test_a_disk_that_ignores_flushes_is_found_out(
    ran: Ran, workshop: Workshop, judge: Judge, tmp_path: Path
) -> None:
    """Without the flushes the very same writes must brick the card: else nothing is shown."""
    assert ran.status == 0, ran.output
    log = tmp_path / "log"
    log.write_bytes(workshop.log.read_bytes())
    forget_flushes(log)
    figures: Figures = judge_all(workshop.base, log, tmp_path, judge, data_every=0)
    assert any("not whole" in each for each in figures.bricks)


def forget_flushes(log: Path) -> None:
    for entry, position in zip(read_log(log), positions(log), strict=True):
        if entry.flags & Flag.FLUSH and not entry.size_bytes:
            with log.open("r+b") as file:
                file.seek(position + 16)
                file.write(struct.pack("<Q", Flag.MARK))


def positions(log: Path) -> Iterator[int]:
    """Yield where each entry's header stands in a log of 512-byte sectors."""
    position = 512
    for entry in read_log(log):
        yield position
        position += 512 + (entry.size_bytes if entry.data_bytes is not None else 0)
    assert position <= log.stat().st_size
