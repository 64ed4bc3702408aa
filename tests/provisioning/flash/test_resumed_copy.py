"""A card that goes on takes nothing unread from a decoded copy that has rotted meanwhile."""

from pathlib import Path

import pytest
from services.card_images import MIB, SEED_FAT, CardImage
from services.flash_batches import Held, assign, is_bootable, make_station, run
from services.loop_cards import loop_card, needs_loop

from provisioning.flash.batch import Batch, Station
from provisioning.flash.device import Device
from provisioning.flash.source import open_source

pytestmark = needs_loop
CARD_BYTES = 96 * MIB


def cut_off(image: CardImage, cache: Path, station: Station, device: Device) -> Path:
    """Stop a card after its last range; return the decoded copy, which is kept."""
    with open_source(image.packed, cache=cache) as source:
        (card,) = assign([device])
        card.progress = held = Held("identity")
        batch = Batch(source, station)
        batch.add(card)
        held.reached.wait()
        batch.stop()
        held.go.set()
        batch.wait(lambda _: None)
        assert card.progress.verdict == "stopped"
        source.trust()
    (kept,) = cache.iterdir()
    return kept


def second_table(image: CardImage) -> int:
    """Return where the FAT's second table has an entry that no file of a seed needs."""
    with image.plain.open("rb") as file:
        file.seek(SEED_FAT[0])
        sector = file.read(512)
    reserved, each = (int.from_bytes(sector[at : at + 2], "little") for at in (14, 22))
    return SEED_FAT[0] + 512 * (reserved + each) + 1000


@pytest.mark.parametrize("place", ["first block", "identity"])
def test_a_rotten_copy_is_blamed_and_the_card_goes_on(
    place: str, image: CardImage, station_directory: Path
) -> None:
    memory, cache = station_directory / "card", station_directory / "cache"
    station = make_station(station_directory, screening="none")
    with loop_card(memory, CARD_BYTES) as device:
        kept = cut_off(image, cache, station, device)
        with kept.open("r+b") as file:
            file.seek(100 if place == "first block" else second_table(image))
            file.write(b"rotten")
        reasons = []
        for _ in range(2):
            with open_source(image.packed, cache=cache) as source:
                (card,) = assign([device])
                run(source, station, [card])
                reasons.append(card.progress.reason)
                assert card.progress.resumed_bytes == source.map.mapped_bytes
                assert is_bootable(memory) == (card.progress.verdict == "verified")
    assert f"{kept}: damaged between byte" in reasons[0]
    assert reasons[1] == ""
    assert b"rotten" not in memory.read_bytes()
