"""Keeps the labels of good cards in one file, from the first card on, whatever ends the run."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from tempfile import NamedTemporaryFile

from provisioning.flash.batch import Assignment
from provisioning.flash.errors import StationError


class LabelSheet:
    """The file with the labels, written anew with every card that becomes good."""

    def __init__(self, file: Path | None) -> None:
        """Keep labels in `file`, or none. Raises StationError when it could not be written later.

        Makes the folder, and nothing in it yet.
        """
        self.file = file
        self._tried_count = 0
        self._written_count = 0
        if file:
            _check(file)

    def add(self, cards: Iterable[Assignment]) -> None:
        """Write the labels once more cards are good; when that fails, `finish` tells."""
        good = _good(cards)
        if len(good) > self._tried_count:
            self._tried_count = len(good)
            with suppress(StationError):
                self._write(good)

    def finish(self, cards: Iterable[Assignment]) -> None:
        """Write what is not written yet. Raises StationError."""
        good = _good(cards)
        if len(good) > self._written_count:
            self._write(good)

    def _write(self, good: Sequence[Assignment]) -> None:
        if self.file is None:
            return
        # Its library takes a quarter of a second to load, and 20 MiB.
        from provisioning.flash.label import Label, write_labels  # noqa: PLC0415

        today = datetime.now().astimezone().date().isoformat()
        write_labels(self.file, [Label.of(card.node, card.fingerprints, today) for card in good])
        self._written_count = len(good)


def _good(cards: Iterable[Assignment]) -> list[Assignment]:
    return [card for card in cards if card.progress.verdict == "verified"]


def _check(file: Path) -> None:
    try:
        if file.exists() and not file.is_file():
            raise StationError(f"{file}: not a file; name a PDF for the labels")
        file.parent.mkdir(parents=True, exist_ok=True)
        # Beside it, as the labels are written, and gone at once.
        NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.").close()
    except OSError as error:
        raise StationError(
            f"{file}: the labels could not be written there: {error.strerror}; name another file"
        ) from error
