"""Remembers on the station which ranges of a card are finished, so that it can be resumed.

The card and its journal find each other by a mark: while a card is unfinished its first block
holds, instead of a boot record, a random number that names the journal. A card that was swapped,
or written elsewhere meanwhile, has another first block and begins anew. A range is noted only
after the card has been told to keep it for good, and every line is on the station's disk before
the next one.
"""

import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from provisioning.flash.errors import StationError
from provisioning.flash.source import Source

BLOCK_BYTES = 4096
_MARK = b"Simpul: this card is unfinished and does not boot. Flash it again. "
_TOKEN_BYTES = 16
_TOKEN = re.compile(rb"[0-9a-f]{32}")


class Heading(Struct, frozen=True, kw_only=True):
    """What a journal is about; a card is resumed only with the very same image."""

    image: str
    size_bytes: int


class Journal:
    """The journal of one unfinished card."""

    def __init__(self, file: Path, finished: Iterable[int] = ()) -> None:
        self.file = file
        self.finished = set(finished)

    @property
    def mark(self) -> bytes:
        """Return the first block of the card that belongs to this journal."""
        return (_MARK + self.file.stem.encode()).ljust(BLOCK_BYTES, b"\0")

    def note(self, ranges: Iterable[int]) -> None:
        """Keep the numbers of finished ranges for good. Raises StationError."""
        numbers = list(ranges)
        self.finished.update(numbers)
        _append(self.file, msgspec.json.encode(numbers))

    def remove(self) -> None:
        """Forget the card: it is finished."""
        self.file.unlink(missing_ok=True)


def journal_directory() -> Path:
    """Return where journals are kept (XDG Base Directory Specification, state)."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "simpul" / "flash"


def begin_journal(directory: Path, source: Source, size_bytes: int) -> Journal:
    """Make the journal of a card that is begun anew. Raises StationError."""
    journal = Journal(directory / f"{secrets.token_hex(_TOKEN_BYTES)}.jsonl")
    _append(journal.file, msgspec.json.encode(_heading(source, size_bytes)))
    return journal


def find_journal(
    directory: Path, first_block: bytes, source: Source, size_bytes: int
) -> Journal | None:
    """Return the journal that the card's first block names; None when it has to begin anew."""
    token = first_block.removeprefix(_MARK)[: 2 * _TOKEN_BYTES]
    if not first_block.startswith(_MARK) or not _TOKEN.fullmatch(token):
        return None
    file = directory / f"{token.decode()}.jsonl"
    try:
        lines = file.read_bytes().split(b"\n")
        if msgspec.json.decode(lines[0], type=Heading) != _heading(source, size_bytes):
            return None
        finished: set[int] = set()
        # What follows the last line end was cut off while it was written.
        for line in lines[1:-1]:
            finished.update(msgspec.json.decode(line, type=list[int]))
    except (OSError, msgspec.MsgspecError):
        return None  # missing or damaged: begin anew, which is always right
    if not finished <= set(range(len(source.map.ranges))):
        return None
    return Journal(file, finished)


def _heading(source: Source, size_bytes: int) -> Heading:
    return Heading(image=source.map.key, size_bytes=size_bytes)


def _append(file: Path, line: bytes) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, line + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StationError(f"{file}: {error.strerror}; is the disk full?") from error
