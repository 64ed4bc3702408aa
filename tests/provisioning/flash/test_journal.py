"""Journals are read as they were meant, also older ones, and by the card that they are of."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioning.flash.image_map import ImageMap, Range
from provisioning.flash.journal import Journal, begin_journal, find_journal
from provisioning.flash.source import Source

CARD_BYTES = 2**20
RANGES = (Range(0, 8192), Range(16384, 8192), Range(24576, 4096), Range(65536, 4096))


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Source]:
    file = tmp_path / "image"
    file.write_bytes(bytes(CARD_BYTES))
    image_map = ImageMap(image_bytes=CARD_BYTES, ranges=RANGES)
    with Source(file.open("rb"), file.open("rb"), image_map) as opened:
        yield opened


@pytest.fixture
def journal(source: Source, tmp_path: Path) -> Journal:
    return begin_journal(tmp_path / "journals", source, CARD_BYTES, "quick")


def found(journal: Journal, source: Source, size_bytes: int = CARD_BYTES) -> Journal | None:
    return find_journal(journal.file.parent, journal.mark, source, size_bytes)


def finished(journal: Journal, source: Source) -> set[int]:
    again = found(journal, source)
    assert again is not None
    return again.finished


def age(journal: Journal) -> None:
    """Make the journal one of before identities were noted."""
    heading, *lines = journal.file.read_text().splitlines(keepends=True)
    old = {key: value for key, value in json.loads(heading).items() if key != "version"}
    journal.file.write_text(json.dumps(old) + "\n" + "".join(lines))


def test_finished_ranges_are_found_again(journal: Journal, source: Source) -> None:
    journal.note([0, 1])
    journal.note([2])
    assert finished(journal, source) == {0, 1, 2}
    assert found(journal, source, CARD_BYTES + 512) is None


def test_an_old_journal_is_gone_on_with(journal: Journal, source: Source) -> None:
    journal.note([0, 1])
    age(journal)
    assert finished(journal, source) == {0, 1}


def test_an_old_journal_that_may_hide_an_identity_is_not(journal: Journal, source: Source) -> None:
    """All ranges finished, it may have stopped amid the identity, of which it would not tell."""
    journal.note([0, 1, 2, 3])
    assert finished(journal, source) == {0, 1, 2, 3}
    age(journal)
    assert found(journal, source) is None


def test_ranges_under_an_identity_are_not_finished_until_they_are_again(
    journal: Journal, source: Source
) -> None:
    journal.note([0, 1, 2, 3])
    journal.note_identity([20480, 36864])  # the second lies in free space
    assert finished(journal, source) == {0, 2, 3}
    journal.note([1])
    assert finished(journal, source) == {0, 1, 2, 3}
    journal.note_identity([4096])
    again = found(journal, source)
    assert again is not None
    assert again.finished == {1, 2, 3}
    assert again.identity_blocks == {4096, 20480, 36864}


def test_what_is_overwritten_in_whole_sectors_is_written_again_too(
    source: Source, tmp_path: Path
) -> None:
    """Maps may count in blocks of 1 KiB, cards are written in 4 KiB."""
    source.map = ImageMap(
        image_bytes=CARD_BYTES,
        ranges=(Range(0, 4096), Range(8192, 1024), Range(10240, 8192), Range(20480, 1024)),
    )
    journal = begin_journal(tmp_path / "journals", source, CARD_BYTES, "quick")
    journal.note([0, 1, 2, 3])
    journal.note_identity([8192])
    assert finished(journal, source) == {0, 3}


@pytest.mark.parametrize("line", ['{"identity_blocks":[0]}', '{"identity_blocks":[5000]}', "{}"])
def test_a_note_that_cannot_be_is_not_believed(line: str, journal: Journal, source: Source) -> None:
    journal.file.write_text(journal.file.read_text() + line + "\n")
    assert found(journal, source) is None


def test_a_note_that_was_cut_off_is_passed_over(journal: Journal, source: Source) -> None:
    journal.note([0])
    journal.file.write_text(journal.file.read_text() + '{"identity_bl')
    assert finished(journal, source) == {0}
