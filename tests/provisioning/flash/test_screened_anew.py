"""A card that was cut off goes on, unless a stricter screening is asked for than it has passed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from services.card_images import MIB
from services.loop_cards import loop_card, needs_loop

from provisioning.flash.card import Job, write_card
from provisioning.flash.errors import StoppedError
from provisioning.flash.fat import Patch
from provisioning.flash.guards import Policy
from provisioning.flash.progress import Progress
from provisioning.flash.screenings import Screening
from provisioning.flash.source import Source
from provisioning.flash.stop import Stop

pytestmark = [needs_loop, pytest.mark.timeout(180)]
CARD_BYTES = 96 * MIB


def cut_off() -> list[Patch]:
    raise StoppedError("Ctrl-C")


def cards_written(
    source: Source, tmp_path: Path, first: Screening, second: Screening, *, age: bool = False
) -> Progress:
    """Cut a card off after its ranges, then make it; return how far the second time came."""
    with loop_card(tmp_path / "card", CARD_BYTES) as device:
        job = Job(
            device=device,
            source=source,
            identity=cut_off,
            progress=Progress(),
            stop=Stop(),
            journals=tmp_path / "journals",
            policy=Policy(size_min_bytes=1, allow_loop=True),
            screening=first,
        )
        with pytest.raises(StoppedError):
            write_card(job)
        (journal,) = (tmp_path / "journals").iterdir()
        if age:
            heading, *lines = journal.read_text().splitlines(keepends=True)
            old = {key: value for key, value in json.loads(heading).items() if key != "screening"}
            journal.write_text(json.dumps(old) + "\n" + "".join(lines))
        again = replace(job, identity=list, progress=Progress(), screening=second)
        write_card(again)
    assert list((tmp_path / "journals").iterdir()) == []
    return again.progress


@pytest.mark.parametrize(
    ("first", "second", "goes_on"),
    [
        ("none", "none", True),
        ("none", "quick", False),
        ("quick", "quick", True),
        ("quick", "full", False),
        ("full", "quick", True),
        ("full", "full", True),
    ],
)
def test_a_card_is_screened_as_strictly_as_was_asked(
    first: Screening,
    second: Screening,
    goes_on: bool,  # noqa: FBT001 - a parameter
    source: Source,
    tmp_path: Path,
) -> None:
    made = cards_written(source, tmp_path, first, second)
    assert (made.resumed_bytes > 0, made.screened_bytes > 0) == (goes_on, not goes_on)
    if not goes_on and second == "full":
        assert made.screened_bytes > CARD_BYTES


@pytest.mark.parametrize(("second", "goes_on"), [("quick", True), ("full", False)])
def test_an_older_journal_counts_as_screened_by_default(
    second: Screening,
    goes_on: bool,  # noqa: FBT001 - a parameter
    source: Source,
    tmp_path: Path,
) -> None:
    made = cards_written(source, tmp_path, "quick", second, age=True)
    assert (made.resumed_bytes > 0) == goes_on
