"""Every card ends with a verdict, whatever happens to its threads, and none passes unread."""

from pathlib import Path

import pytest
from services.card_images import MIB
from services.flash_batches import assign, is_bootable, make_station, run
from services.loop_cards import loop_card, needs_loop

from provisioning.flash.batch import Assignment
from provisioning.flash.card import Job
from provisioning.flash.device import Device
from provisioning.flash.lanes import Lanes
from provisioning.flash.progress import Progress
from provisioning.flash.source import Source

# That a thread dies of what nobody foresaw is told on the terminal as well.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
CARD_BYTES = 96 * MIB


def file_card(name: str) -> Assignment:
    (card,) = assign([Device(name=name, number="", bus="other")])
    return card


def test_a_card_that_nobody_foresaw_has_failed(source: Source, station_directory: Path) -> None:
    def write(_: Job) -> None:
        raise ZeroDivisionError("of what nobody foresaw")

    card = file_card("/nowhere")
    card.write = write
    run(source, make_station(station_directory), [card])
    assert card.progress.verdict == "failed"
    assert "ZeroDivisionError: of what nobody foresaw" in card.progress.reason


def test_a_card_that_the_register_cannot_hold_has_its_verdict(
    source: Source, station_directory: Path
) -> None:
    station = make_station(station_directory)
    card = file_card("/out\udcff.img")
    card.write = lambda _: None
    run(source, station, [card])
    assert card.progress.verdict == "verified"
    assert "not in the register" in card.progress.reason
    assert station.register.rows("card") == []


def test_the_time_before_a_card_was_confirmed_is_not_counted(
    source: Source, station_directory: Path
) -> None:
    card = file_card("/nowhere")
    card.progress.started_mono -= 3600
    card.write = lambda _: None
    run(source, make_station(station_directory), [card])
    assert card.progress.seconds < 600


class Dying(Progress):
    """The progress of a card whose verifier dies."""

    def verified(self, count_bytes: int) -> None:
        if count_bytes:
            raise ZeroDivisionError


class DyingWriter(Progress):
    """The progress of a card whose writer dies."""

    def wrote(self, count_bytes: int) -> None:
        if count_bytes:
            raise ZeroDivisionError


@needs_loop
@pytest.mark.parametrize("progress", [Dying, DyingWriter])
def test_a_card_whose_thread_died_is_not_verified(
    progress: type[Progress], source: Source, station_directory: Path
) -> None:
    station = make_station(station_directory, screening="none")
    with loop_card(station_directory / "card", CARD_BYTES) as device:
        (card,) = assign([device])
        card.progress = progress()
        run(source, station, [card])
    assert card.progress.verdict == "failed"
    assert "ZeroDivisionError" in card.progress.reason
    assert not is_bootable(station_directory / "card")


def test_a_request_that_dies_has_a_result() -> None:
    def die() -> None:
        raise ZeroDivisionError

    with Lanes(4096) as lanes:
        done = lanes.start(die)
        with pytest.raises(ZeroDivisionError):
            done.result(timeout=30)
