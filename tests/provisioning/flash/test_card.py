"""One image, one card: what lies on it in the end, and in which order it came there."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from services.card_images import MIB, CardImage, make_image
from services.loop_cards import loop_card, needs_loop

from provisioning.flash.card import Job, write_card
from provisioning.flash.device import Device
from provisioning.flash.fat import Patch
from provisioning.flash.guards import Policy
from provisioning.flash.progress import Progress
from provisioning.flash.source import Source, open_source
from provisioning.flash.stop import Stop

pytestmark = needs_loop
CARD_BYTES = 96 * MIB


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> CardImage:
    return make_image(tmp_path_factory.mktemp("image"))


@pytest.fixture
def source(image: CardImage, tmp_path: Path) -> Iterator[Source]:
    with open_source(image.packed, cache=tmp_path / "cache", map_file=image.map_file) as opened:
        yield opened


def job(device: Device, source: Source, tmp_path: Path, patches: list[Patch] | None = None) -> Job:
    return Job(
        device=device,
        source=source,
        identity=lambda: patches or [],
        progress=Progress(total_bytes=source.map.mapped_bytes),
        stop=Stop(),
        journals=tmp_path / "journals",
        policy=Policy(size_min_bytes=source.map.image_bytes, allow_loop=True),
    )


def test_a_card_holds_every_mapped_range(image: CardImage, source: Source, tmp_path: Path) -> None:
    with loop_card(tmp_path / "card", CARD_BYTES) as device:
        write_card(job(device, source, tmp_path))
    assert_holds(tmp_path / "card", image, source)
    assert not list((tmp_path / "journals").iterdir())


@pytest.mark.parametrize("more_bytes", [0, 512, 3584])
def test_nothing_older_is_left_at_the_end(more_bytes: int, source: Source, tmp_path: Path) -> None:
    """A card's size is no whole number of blocks; its last sector holds the GPT's second header."""
    card = tmp_path / "card"
    card.write_bytes(b"x" * (CARD_BYTES + more_bytes))
    with loop_card(card) as device:
        assert device.size_bytes == CARD_BYTES + more_bytes
        write_card(replace(job(device, source, tmp_path), screening="none"))
    with card.open("rb") as made:
        made.seek(CARD_BYTES + more_bytes - MIB + 4096)
        assert made.read().count(0) == MIB - 4096


def assert_holds(card: Path, image: CardImage, source: Source) -> None:
    with card.open("rb") as made, image.plain.open("rb") as wanted:
        for part in source.map.ranges:
            made.seek(part.offset_bytes)
            wanted.seek(part.offset_bytes)
            assert made.read(part.length_bytes) == wanted.read(part.length_bytes)
