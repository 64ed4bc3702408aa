"""A card that is swapped while it is made: the other one, which nobody confirmed, is left alone."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from services.card_images import MIB
from services.flash_batches import assign, make_station, run, untouched
from services.loop_cards import loop_card, needs_loop

from provisioning.flash import card as card_module
from provisioning.flash.device import Device
from provisioning.flash.progress import Phase, Progress
from provisioning.flash.ranges import Handles
from provisioning.flash.source import Source

pytestmark = needs_loop
CARD_BYTES = 96 * MIB


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Make another card of the same size."""
    file = tmp_path / "other"
    file.write_bytes(os.urandom(MIB))
    os.truncate(file, CARD_BYTES)
    return file


def swap(device: Device, file: Path) -> None:
    """Put another medium behind the descriptors that this process has of the device.

    A loop device lets go of its file only when nobody holds it; so they are lent out meanwhile.
    """
    names = [int(each.name) for each in Path("/proc/self/fd").iterdir()]
    held = [each for each in names if _place(each) == device.path]
    assert held
    for each in held:
        _become(each, os.devnull)
    subprocess.run(["losetup", "--detach", device.path], check=True)
    subprocess.run(["losetup", "--direct-io=on", device.path, str(file)], check=True)
    for each in held:
        _become(each, device.path)


def _place(descriptor: int) -> str:
    try:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())
    except FileNotFoundError:
        return ""  # the one by which they were listed


def _become(descriptor: int, path: str) -> None:
    opened = os.open(path, os.O_RDWR | (0 if path == os.devnull else os.O_DIRECT))
    os.dup2(opened, descriptor, inheritable=False)
    os.close(opened)


class SwappedAt(Progress):
    """The progress of a card that is swapped when a phase begins."""

    def __init__(self, phase: Phase, exchange: Callable[[], None]) -> None:
        super().__init__()
        self._at = phase
        self._exchange = exchange

    def enter(self, phase: Phase) -> None:
        super().enter(phase)
        if phase == self._at:
            self._exchange()


@pytest.mark.parametrize("phase", ["writing", "identity", "finishing"])
def test_the_other_card_is_not_written(
    phase: Phase, other: Path, source: Source, station_directory: Path
) -> None:
    station = make_station(station_directory, screening="none")
    with loop_card(station_directory / "card", CARD_BYTES) as device, untouched([other]):
        (card,) = assign([device])
        card.progress = SwappedAt(phase, lambda: swap(device, other))
        run(source, station, [card])
    assert card.progress.verdict == "failed"
    assert card.progress.reason.startswith("another card was put in since it was confirmed; put")
    assert "may boot" not in card.progress.reason


def test_the_first_block_is_taken_back_from_no_other_card(
    other: Path, source: Source, station_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was swapped after its last write: nobody knows what became of it."""
    station = make_station(station_directory, screening="none")
    write = card_module.write_first_block
    with loop_card(station_directory / "card", CARD_BYTES) as device, untouched([other]):

        def write_and_swap(source: Source, handles: Handles) -> None:
            write(source, handles)
            swap(device, other)

        monkeypatch.setattr(card_module, "write_first_block", write_and_swap)
        (card,) = assign([device])
        run(source, station, [card])
    assert card.progress.verdict == "failed"
    assert "another card was put in" in card.progress.reason
    assert "may boot now" in card.progress.reason
