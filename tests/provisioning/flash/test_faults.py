"""Cards with real faults: each ends in a clear verdict, none boots, no neighbour is touched."""

import os
import random
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from services.card_images import MIB, SEED_FAT, CardImage, make_image
from services.faulty_cards import faulty_card, needs_faulty_cards
from services.flash_batches import (
    assign,
    differing_ranges,
    first_block,
    is_bootable,
    make_station,
    run,
    untouched,
)
from services.loop_cards import loop_card

from provisioning.flash.progress import Verdict
from provisioning.flash.screenings import Screening
from provisioning.flash.source import Source

pytestmark = needs_faulty_cards
CARD_BYTES = 96 * MIB
SEED = range(SEED_FAT[0], SEED_FAT[0] + SEED_FAT[1])


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> CardImage:
    return make_image(tmp_path_factory.mktemp("image"), data_bytes=32 * MIB)


def assert_finished(card: Path, image: CardImage, source: Source) -> None:
    assert differing_ranges(card, image.plain, source, but=SEED) == []
    assert is_bootable(card)


class Case(NamedTuple):
    faults: dict[str, int]
    verdict: Verdict
    words: str


BAD: dict[Screening, list[Case]] = {
    "quick": [
        Case({"write_error": 30 * MIB + 5}, "failed", "cannot write at byte"),
        Case({"read_error": 25 * MIB}, "failed", "cannot read at byte"),
        Case({"corrupt": 40 * MIB + 123}, "failed", "gives back something else"),
        Case({"corrupt": 3}, "failed", "gives back something else"),
        Case({"corrupt": SEED_FAT[0]}, "failed", "gives back something else"),
        Case({"corrupt_boot": 1}, "failed", "gives back something else"),
        Case({"flush_error": 1}, "failed", "cannot flush"),
        Case({"real": 32 * MIB}, "fake", "nothing is kept at"),
        Case({"real": 32 * MIB, "wraps": 1}, "fake", "are the same place"),
        Case({"pull_after": 24 * MIB}, "failed", "cannot"),
        Case({"pull_after": 1}, "failed", "cannot"),
    ],
    "full": [Case({"real": 33 * MIB, "wraps": 1}, "fake", "are the same place")],
    "none": [
        Case({"real": 32 * MIB, "wraps": 1}, "failed", "gives back something else"),
        Case({"real": 41 * MIB, "wraps": 1}, "failed", "gives back something else"),
        Case({"real": 40 * MIB}, "failed", "gives back something else"),
    ],
}


@pytest.mark.parametrize("screening", ["quick", "full", "none"])
def test_bad_cards_never_boot_and_harm_no_other(
    screening: Screening, image: CardImage, source: Source, station_directory: Path
) -> None:
    """One batch: all the bad cards, and a good one among them."""
    station = make_station(station_directory, screening=screening)
    cases = BAD[screening]
    decoys = [station_directory / "decoy-0", station_directory / "decoy-1"]
    for decoy in decoys:
        decoy.write_bytes(os.urandom(MIB))
    with ExitStack() as stack:
        for decoy in decoys:
            stack.enter_context(loop_card(decoy))
        devices = []
        for number, case in enumerate(cases):
            memory = station_directory / f"bad-{number}"
            shutil.copy(image.plain, memory)  # it did boot before
            bad = stack.enter_context(faulty_card(memory, CARD_BYTES, **case.faults))
            devices.append(bad.device)
        devices.append(stack.enter_context(loop_card(station_directory / "good", CARD_BYTES)))
        stack.enter_context(untouched(decoys))
        cards = assign(devices)
        run(source, station, cards)
    for number, case in enumerate(cases):
        progress = cards[number].progress
        assert (case, progress.verdict) == (case, case.verdict), progress.reason
        assert case.words in progress.reason, case
        assert not is_bootable(station_directory / f"bad-{number}"), case
    assert cards[-1].progress.verdict == "verified", cards[-1].progress.reason
    assert_finished(station_directory / "good", image, source)
    rows = {row["node"]: row["verdict"] for row in station.register.rows("card")}
    assert rows == {card.node.name: card.progress.verdict for card in cards}


def test_a_pulled_card_goes_on_where_it_was(
    image: CardImage, source: Source, station_directory: Path
) -> None:
    station = make_station(station_directory, screening="none")
    memory = station_directory / "card"
    with faulty_card(memory, CARD_BYTES, pull_after=20 * MIB) as card:
        cards = assign([card.device])
        run(source, station, cards)
    assert cards[0].progress.verdict == "failed"
    assert b"does not boot" in first_block(memory)
    with faulty_card(memory, CARD_BYTES) as card:
        cards = assign([card.device])
        run(source, station, cards)
    assert cards[0].progress.verdict == "verified", cards[0].progress.reason
    assert_finished(memory, image, source)


def test_a_card_that_hangs_is_given_up(source: Source, station_directory: Path) -> None:
    station = make_station(station_directory, screening="none", stall_seconds=1.0)
    with faulty_card(station_directory / "card", CARD_BYTES, hang_after=8 * MIB) as card:
        cards = assign([card.device])
        run(source, station, cards)
        assert cards[0].progress.verdict == "failed"
        assert "no answer" in cards[0].progress.reason
    assert not is_bootable(station_directory / "card")


@pytest.mark.parametrize(
    "chance", [0, *(pytest.param(number, marks=pytest.mark.long) for number in range(1, 20))]
)
def test_a_hub_that_goes_away_loses_no_card(
    chance: int, image: CardImage, source: Source, station_directory: Path
) -> None:
    """Each card is gone at a random moment, and put in again."""
    dice = random.Random(chance)  # noqa: S311 - the same moments every time
    station = make_station(station_directory)
    memories = [station_directory / f"card-{number}" for number in range(3)]
    with ExitStack() as stack:
        hub = [
            stack.enter_context(
                faulty_card(memory, CARD_BYTES, pull_after=dice.randrange(1, 48 * MIB))
            )
            for memory in memories
        ]
        cards = assign([card.device for card in hub])
        run(source, station, cards)
    assert [card.progress.verdict for card in cards] == ["failed"] * 3
    assert not any(is_bootable(memory) for memory in memories)
    with ExitStack() as stack:
        hub = [stack.enter_context(faulty_card(memory, CARD_BYTES)) for memory in memories]
        cards = assign([card.device for card in hub])
        run(source, station, cards)
    assert [card.progress.verdict for card in cards] == ["verified"] * 3
    for memory in memories:
        assert_finished(memory, image, source)
