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
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from provisioning.flash.block import whole_sectors
from provisioning.flash.errors import StationError
from provisioning.flash.image_map import ImageMap
from provisioning.flash.screenings import Screening
from provisioning.flash.source import Source

BLOCK_BYTES = 4096
_MARK = b"Simpul: this card is unfinished and does not boot. Flash it again. "
_TOKEN_BYTES = 16
_TOKEN = re.compile(rb"[0-9a-f]{32}")
_TELLS_IDENTITY = 2  # the version since which journals do


class Heading(Struct, frozen=True, kw_only=True):
    """What a journal is about; a card is resumed only with the very same image.

    Old journals do not tell how the card was screened: most likely as it is when nothing is said.
    """

    image: str
    size_bytes: int
    version: int = 1
    screening: Screening = "quick"


class _Identity(Struct, frozen=True, kw_only=True):
    """Says that from here on these blocks may hold an identity; offsets in bytes."""

    identity_blocks: list[Annotated[int, Meta(ge=BLOCK_BYTES, multiple_of=BLOCK_BYTES)]]


class Journal:
    """The journal of one unfinished card."""

    def __init__(self, file: Path, screening: Screening) -> None:
        """Begin in `file`: no range is finished, and no block may hold an older identity."""
        self.file = file
        self.screening = screening
        self.finished: set[int] = set()
        self.identity_blocks: set[int] = set()

    @property
    def mark(self) -> bytes:
        """Return the first block of the card that belongs to this journal."""
        return (_MARK + self.file.stem.encode()).ljust(BLOCK_BYTES, b"\0")

    def note(self, ranges: Iterable[int]) -> None:
        """Keep the numbers of finished ranges for good. Raises StationError."""
        numbers = list(ranges)
        self.finished.update(numbers)
        append_line(self.file, msgspec.json.encode(numbers))

    def note_identity(self, blocks: Iterable[int]) -> None:
        """Keep for good which blocks are about to get an identity. Raises StationError."""
        offsets = sorted(blocks)
        self.identity_blocks.update(offsets)
        append_line(self.file, msgspec.json.encode(_Identity(identity_blocks=offsets)))

    def remove(self) -> None:
        """Forget the card: it is finished."""
        self.file.unlink(missing_ok=True)


def journal_directory() -> Path:
    """Return where journals are kept (XDG Base Directory Specification, state)."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "simpul" / "flash"


def begin_journal(
    directory: Path, source: Source, size_bytes: int, screening: Screening
) -> Journal:
    """Make the journal of a card that is begun anew, screened so. Raises StationError."""
    journal = Journal(directory / f"{secrets.token_hex(_TOKEN_BYTES)}.jsonl", screening)
    heading = Heading(
        image=source.map.key, size_bytes=size_bytes, version=_TELLS_IDENTITY, screening=screening
    )
    append_line(journal.file, msgspec.json.encode(heading))
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
        # What follows the last line end was cut off while it was written.
        first, *lines = file.read_bytes().split(b"\n")[:-1] or [b""]
        heading = msgspec.json.decode(first, type=Heading)
        notes = [msgspec.json.decode(line, type=list[int] | _Identity) for line in lines]
    except (OSError, msgspec.MsgspecError):
        return None  # missing or damaged: begin anew, which is always right
    journal = _replayed(Journal(file, heading.screening), notes, source.map)
    version = _version(heading, source, size_bytes)
    everything = set(range(len(source.map.ranges)))
    # Old journals are silent about identities: a card that was so far may hold a part of one.
    is_doubtful = version < _TELLS_IDENTITY and journal.finished == everything
    return journal if version and journal.finished <= everything and not is_doubtful else None


def _replayed(
    journal: Journal, notes: Iterable[list[int] | _Identity], image_map: ImageMap
) -> Journal:
    for note in notes:
        if isinstance(note, _Identity):
            journal.identity_blocks.update(note.identity_blocks)
            journal.finished -= _ranges_at(note.identity_blocks, image_map)
        else:
            journal.finished.update(note)
    return journal


def _ranges_at(blocks: Collection[int], image_map: ImageMap) -> set[int]:
    """Return the numbers of the ranges to write again when these blocks are to be the image's."""
    found = set()
    touched_bytes = 0
    for number, part in enumerate(image_map.ranges):
        # A range is written in whole sectors, which may be more than it has: over the next one.
        first = part.offset_bytes - BLOCK_BYTES
        if part.offset_bytes < touched_bytes or any(first < at < part.end_bytes for at in blocks):
            found.add(number)
            touched_bytes = part.offset_bytes + whole_sectors(part.length_bytes)
    return found


def _version(heading: Heading, source: Source, size_bytes: int) -> int:
    """Return the version of a journal of this image and card; 0 for others'."""
    same = heading.image == source.map.key and heading.size_bytes == size_bytes
    return heading.version if same else 0


def append_line(file: Path, line: bytes) -> None:
    """Keep a line of a file for good. Raises StationError."""
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
