"""A card that is lost amid its identity goes on, and keeps nothing of the identity it had."""

import subprocess
from pathlib import Path

import msgspec
import pytest
from services.card_images import MIB, SEED_FAT, CardImage, make_image
from services.faulty_cards import FaultyCard, faulty_card, needs_faulty_cards
from services.flash_batches import (
    assign,
    differing_ranges,
    first_block,
    is_bootable,
    make_station,
    run,
)

from provisioning.flash.batch import Assignment, Station
from provisioning.flash.progress import Phase, Progress
from provisioning.flash.source import Source
from provisioning.seed.seed import Seed

pytestmark = needs_faulty_cards
CARD_BYTES = 96 * MIB
SEED = range(SEED_FAT[0], SEED_FAT[0] + SEED_FAT[1])
SECRETS = (b"first-token", b"second-token", b"third-token")


class PulledAt(Progress):
    """The progress of a card that is pulled out when a phase begins."""

    def __init__(self, phase: Phase, card: FaultyCard) -> None:
        super().__init__()
        self._at = phase
        self._card = card

    def enter(self, phase: Phase) -> None:
        super().enter(phase)
        if phase == self._at:
            self._card.pull()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> CardImage:
    return make_image(tmp_path_factory.mktemp("image"), data_bytes=16 * MIB)


@pytest.fixture
def station(station_directory: Path) -> Station:
    """Give a station whose seeds get smaller from one to the next: none covers the one before."""
    left = list(enumerate(SECRETS))

    def seed(_: object) -> Seed:
        number, secret = left.pop(0)
        files = {"meta-data": secret, "user-data": secret * (6000 - 2000 * number)}
        return Seed(files=files, host_public_key="", fingerprints=())

    return msgspec.structs.replace(make_station(station_directory, screening="none"), seeds=seed)


def flash(source: Source, station: Station, card: FaultyCard, *, pulled: bool) -> Assignment:
    (assignment,) = assign([card.device])
    if pulled:
        assignment.progress = PulledAt("finishing", card)
    run(source, station, [assignment])
    return assignment


@pytest.mark.parametrize("times", [1, 2])
def test_it_goes_on_without_a_trace(
    times: int, image: CardImage, source: Source, station: Station, station_directory: Path
) -> None:
    memory = station_directory / "card"
    for number in range(times):
        with faulty_card(memory, CARD_BYTES) as card:
            lost = flash(source, station, card, pulled=True)
        assert lost.progress.verdict == "failed"
        assert b"does not boot" in first_block(memory)
        assert SECRETS[number] in memory.read_bytes()
    with faulty_card(memory, CARD_BYTES) as card:
        resumed = flash(source, station, card, pulled=False)
    assert resumed.progress.verdict == "verified", resumed.progress.reason
    assert 0 < resumed.progress.resumed_bytes < source.map.mapped_bytes
    assert differing_ranges(memory, image.plain, source, but=SEED) == []
    assert is_bootable(memory)
    held = memory.read_bytes()
    assert [secret in held for secret in SECRETS[: times + 1]] == [False] * times + [True]
    assert_seeded(memory, SECRETS[times] * (6000 - 2000 * times))


def assert_seeded(memory: Path, user_data: bytes) -> None:
    with memory.open("rb") as card:
        card.seek(SEED_FAT[0])
        (fat := memory.with_suffix(".fat")).write_bytes(card.read(SEED_FAT[1]))
    subprocess.run(["fsck.vfat", "-n", str(fat)], check=True, capture_output=True)
    read = subprocess.run(["mtype", "-i", str(fat), "::user-data"], check=True, capture_output=True)
    assert read.stdout == user_data
