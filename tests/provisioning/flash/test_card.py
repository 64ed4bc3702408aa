"""One image, one card: what lies on it in the end, and in which order it came there."""

import threading
from collections.abc import Iterator
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
        stop=threading.Event(),
        journals=tmp_path / "journals",
        policy=Policy(size_min_bytes=source.map.image_bytes, allow_loop=True),
    )


def test_a_card_holds_every_mapped_range(image: CardImage, source: Source, tmp_path: Path) -> None:
    with loop_card(tmp_path / "card", CARD_BYTES) as device:
        write_card(job(device, source, tmp_path))
    assert_holds(tmp_path / "card", image, source)
    assert not list((tmp_path / "journals").iterdir())


def assert_holds(card: Path, image: CardImage, source: Source) -> None:
    with card.open("rb") as made, image.plain.open("rb") as wanted:
        for part in source.map.ranges:
            made.seek(part.offset_bytes)
            wanted.seek(part.offset_bytes)
            assert made.read(part.length_bytes) == wanted.read(part.length_bytes)
