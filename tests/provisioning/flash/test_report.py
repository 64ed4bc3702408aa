"""Good cards are reported as good, whatever became of image and labels meanwhile."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from invoke import Exit
from rich.console import Console
from services.card_images import CardImage
from services.flash_batches import assign, make_station

from provisioning.flash.batch import Batch
from provisioning.flash.device import Device
from provisioning.flash.errors import ImageError
from provisioning.flash.run import Screen, report
from provisioning.flash.sheet import LabelSheet
from provisioning.flash.source import Source, open_source


@pytest.fixture
def lost(image: CardImage, tmp_path: Path) -> Iterator[Source]:
    """Give an image that went, with the stick that it lay on, before it was read to its end."""
    with open_source(image.packed, cache=tmp_path / "cache") as source:
        source.piece(source.map.ranges[-1].end_bytes - 1, 1)
        source.fail(ImageError("card.img: Input/output error"))
        yield source


def made(source: Source, directory: Path) -> Batch:
    """Return a batch whose one card is good."""
    batch = Batch(source, make_station(directory))
    (card,) = assign([Device(name="/nowhere", number="", bus="other")])
    card.write = lambda _: None
    batch.add(card)
    batch.wait(lambda _: None)
    assert card.progress.verdict == "verified"
    return batch


def test_a_good_card_of_a_lost_image_is_recorded_and_reported(
    lost: Source, station_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batch = made(lost, station_directory)
    assert batch.cards[0].progress.reason == ""
    (row,) = batch.station.register.rows("card")
    assert (row["verdict"], row["image_sha256"]) == ("verified", "")
    report(batch, Screen(Console(), LabelSheet(None), quiet=True), 0, json=True)
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["verdict"], told["image_sha256"]) == ("verified", "")


@pytest.mark.parametrize(("status", "ended"), [(0, 3), (130, 130)])
def test_labels_that_cannot_be_written_are_told_of_after_the_cards(
    status: int,
    ended: int,
    source: Source,
    station_directory: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sheet = LabelSheet(station_directory / "new/labels.pdf")
    (station_directory / "new").rmdir()
    (station_directory / "new").touch()
    batch = made(source, station_directory)
    with pytest.raises(Exit, match=r"simpul: .*the labels cannot be written") as end:
        report(batch, Screen(Console(), sheet, quiet=True), status, json=True)
    assert end.value.code == ended
    assert json.loads(capsys.readouterr().out)[0]["verdict"] == "verified"
