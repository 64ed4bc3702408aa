"""A station knows the cards that it has finished, and no others: old images are written over."""

from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
from services.card_images import MIB, CardImage, make_image
from services.flash_batches import assign, make_station, run
from services.loop_cards import loop_card, needs_loop
from services.waiting import until

from provisioning.flash.batch import Batch
from provisioning.flash.choose import Candidate
from provisioning.flash.device import Device
from provisioning.flash.errors import StationError
from provisioning.flash.settings import StationSettings
from provisioning.flash.source import Source, open_source
from provisioning.flash.station import Queue, is_finished, serve
from provisioning.inventory import Node

pytestmark = [needs_loop, pytest.mark.timeout(180)]
CARD_BYTES = 96 * MIB


@pytest.fixture
def finished(source: Source, station_directory: Path) -> Iterator[Device]:
    """Give a card that a station has just finished."""
    with loop_card(station_directory / "card", CARD_BYTES) as device:
        cards = assign([device])
        run(source, make_station(station_directory), cards)
        assert cards[0].progress.verdict == "verified", cards[0].progress.reason
        yield device


@pytest.fixture
def next_image(image: CardImage, tmp_path: Path) -> Iterator[Source]:
    """Give a newer version of the image, which begins as the older one does."""
    (tmp_path / "newer").mkdir()
    newer = make_image(tmp_path / "newer", data_bytes=8 * MIB)
    with image.plain.open("rb") as one, newer.plain.open("rb") as other:
        assert one.read(4096) == other.read(4096)
    with open_source(newer.packed, cache=tmp_path / "newer") as opened:
        yield opened


def put_in(device: Device, source: Source, directory: Path) -> tuple[list[str], list[str]]:
    """Put a card into a station that has just started; return what it says, and what it becomes."""
    batch = Batch(source, make_station(directory))
    queue = Queue(deque([Node(name="node-1")]))
    said: list[str] = []
    settings = StationSettings(slots={"1": device.port})

    def is_served() -> bool:
        serve(batch, queue, settings, [Candidate(device, ())], said.append)
        return not queue.looking

    until(is_served, "the look at the card")
    batch.wait(lambda _: None)
    assert all(card.progress.verdict == "verified" for card in batch.cards)
    return said, [card.node.name for card in batch.cards]


def test_a_finished_card_is_left_alone_by_a_station_that_starts_anew(
    finished: Device, source: Source, station_directory: Path
) -> None:
    said, made = put_in(finished, source, station_directory)
    assert made == []
    assert "finished already" in said[0]


def test_a_card_with_an_older_image_is_written(
    finished: Device, next_image: Source, station_directory: Path
) -> None:
    assert put_in(finished, next_image, station_directory) == ([], ["node-1"])
    said, made = put_in(finished, next_image, station_directory)
    assert (made, len(said)) == ([], 1)


@pytest.mark.parametrize("place", ["first block", "identity"])
def test_a_card_that_was_in_use_since_is_written(
    place: str, finished: Device, source: Source, station_directory: Path
) -> None:
    """A first boot grows the partitions; whoever flashes it elsewhere gives it another identity."""
    name = b"node-0"
    memory = station_directory / "card"
    at = 446 + 16 + 12 if place == "first block" else memory.read_bytes().index(name)
    with memory.open("r+b") as card:
        card.seek(at)
        card.write(b"\xff")
    assert put_in(finished, source, station_directory) == ([], ["node-1"])


def test_a_station_that_cannot_look_it_up_writes_nothing(
    finished: Device, source: Source, station_directory: Path
) -> None:
    station = make_station(station_directory)
    (notes,) = station.journals.parent.glob("*-finished.jsonl")
    notes.unlink()
    notes.mkdir()
    with pytest.raises(StationError, match="which cards are finished"):
        is_finished(finished, Batch(source, station))


def test_a_note_that_was_cut_off_is_none(
    finished: Device, source: Source, station_directory: Path
) -> None:
    (notes,) = make_station(station_directory).journals.parent.glob("*-finished.jsonl")
    notes.write_bytes(notes.read_bytes()[:-9])
    assert put_in(finished, source, station_directory) == ([], ["node-1"])
    assert "finished already" in put_in(finished, source, station_directory)[0][0]
