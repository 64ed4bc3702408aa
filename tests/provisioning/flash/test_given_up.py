"""A card that was given up never boots, whenever it answers again, and takes no identity."""

from pathlib import Path

import pytest
from services.card_images import MIB
from services.faulty_cards import faulty_card, needs_faulty_cards
from services.flash_batches import Held, assign, first_block, is_bootable, make_station, run
from services.loop_cards import loop_card, needs_loop

from provisioning.flash import card as card_module
from provisioning.flash.batch import Assignment, Batch
from provisioning.flash.errors import CardError, StoppedError
from provisioning.flash.progress import Phase
from provisioning.flash.ranges import Handles
from provisioning.flash.source import Source
from provisioning.flash.stop import Stop

CARD_BYTES = 96 * MIB


def finish(batch: Batch) -> None:
    """Wait for the threads too, which go on after a card was given up."""
    batch.wait(lambda _: None)
    for thread in batch._threads:
        thread.join()


@needs_loop
@pytest.mark.parametrize("phase", ["sampling", "identity", "finishing"])
def test_a_late_card_does_not_boot(phase: Phase, source: Source, station_directory: Path) -> None:
    station = make_station(station_directory, screening="none", stall_seconds=0.0)
    batch = Batch(source, station)
    with loop_card(station_directory / "card", CARD_BYTES) as device:
        (card,) = assign([device])
        card.progress = held = Held(phase)
        batch.add(card)
        held.reached.wait()
        batch.check_stalled()
        assert card.progress.verdict == "failed"
        held.go.set()
        finish(batch)
    assert "no answer" in card.progress.reason
    assert b"does not boot" in first_block(station_directory / "card")
    identities = [*station.register.rows("token"), *station.register.rows("host_key")]
    assert bool(identities) == (phase == "finishing")


@needs_loop
def test_a_stopped_card_does_not_boot_and_goes_on(source: Source, station_directory: Path) -> None:
    """By Ctrl-C, after everything but the first block was written."""
    station = make_station(station_directory, screening="none")
    with loop_card(station_directory / "card", CARD_BYTES) as device:
        batch = Batch(source, station)
        (card,) = assign([device])
        card.progress = held = Held("finishing")
        batch.add(card)
        held.reached.wait()
        batch.stop()
        held.go.set()
        finish(batch)
        assert card.progress.verdict == "stopped"
        assert not is_bootable(station_directory / "card")
        again = assign([device])
        run(source, station, again)
    assert again[0].progress.verdict == "verified", again[0].progress.reason
    assert again[0].progress.resumed_bytes > 0


@needs_loop
def test_a_card_given_up_during_its_last_write_is_taken_back(
    source: Source, station_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    station = make_station(station_directory, screening="none", stall_seconds=0.0)
    batch = Batch(source, station)
    write = card_module.write_first_block

    def write_late(source: Source, handles: Handles) -> None:
        write(source, handles)
        assert is_bootable(station_directory / "card")
        batch.check_stalled()

    monkeypatch.setattr(card_module, "write_first_block", write_late)
    with loop_card(station_directory / "card", CARD_BYTES) as device:
        (card,) = assign([device])
        batch.add(card)
        for thread in batch._threads:
            thread.join()
    assert card.progress.verdict == "failed"
    assert "may boot now" in card.progress.reason
    assert b"does not boot" in first_block(station_directory / "card")


@needs_loop
def test_a_card_in_its_last_write_is_not_stopped(
    source: Source, station_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C comes too late for it: it is good."""
    batch = Batch(source, make_station(station_directory, screening="none"))
    write = card_module.write_first_block

    def stop_and_write(source: Source, handles: Handles) -> None:
        batch.stop()
        write(source, handles)

    monkeypatch.setattr(card_module, "write_first_block", stop_and_write)
    with loop_card(station_directory / "card", CARD_BYTES) as device:
        (card,) = assign([device])
        batch.add(card)
        finish(batch)
    assert card.progress.verdict == "verified", card.progress.reason
    assert is_bootable(station_directory / "card")


@needs_faulty_cards
def test_a_card_that_may_boot_and_should_not_is_told_of(
    source: Source, station_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    station = make_station(station_directory, screening="none")
    write = card_module.write_first_block
    with faulty_card(station_directory / "card", CARD_BYTES) as faulty:

        def write_and_pull(source: Source, handles: Handles) -> None:
            write(source, handles)
            faulty.pull()
            raise CardError("cannot read at byte 0")

        monkeypatch.setattr(card_module, "write_first_block", write_and_pull)
        cards: list[Assignment] = assign([faulty.device])
        run(source, station, cards)
    assert cards[0].progress.verdict == "failed"
    assert "cannot read at byte 0; it may boot now" in cards[0].progress.reason


def test_a_card_is_finished_or_stopped() -> None:
    stop = Stop()
    stop.check()
    stop.begin_last()
    assert not stop.ask()
    stop.finish()
    assert not stop.ask(even_last=True)
    stop.check()


def test_a_stopped_card_is_never_finished() -> None:
    stop = Stop()
    assert stop.ask()
    for refused in (stop.begin_last, stop.finish):
        with pytest.raises(StoppedError, match="goes on from there"):
            refused()
    with pytest.raises(StoppedError, match="these words"):
        stop.check("these words")
    assert stop.ask()


def test_a_card_that_hangs_in_its_last_write_is_never_finished() -> None:
    stop = Stop()
    stop.begin_last()
    assert stop.ask(even_last=True)
    with pytest.raises(StoppedError):
        stop.finish()
