"""Keeps what a rollout did, line by line, on disk: to be resumed after a kill, and to be audited.

Each line carries the hash of the one before it, so that none can be changed or taken out unseen.
"""

import fcntl
import hashlib
import os
import threading
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import msgspec
from msgspec import Struct

from provisioning.append import append_line
from provisioning.update.errors import RecordError
from provisioning.update.plan import Plan
from provisioning.update.rollout import Entry, Limits

_START = "0" * 64


class Head(Struct, frozen=True, kw_only=True, tag="rollout"):
    """What the rollout was to do: release hashes by platform, plan and limits."""

    releases: dict[str, str]
    plan: Plan
    limits: Limits
    who: str = ""


class Event(Struct, frozen=True, kw_only=True, tag="node"):
    """How a node stands from now on."""

    node: str
    entry: Entry


class Note(Struct, frozen=True, kw_only=True, tag="note"):
    """What the operator or the engine decided."""

    text: str


What = Head | Event | Note


class _Line(Struct, frozen=True, kw_only=True):
    at: str
    previous: str
    what: What


class Told:
    """What the lines of a rollout's file say; they are taken in one after the other."""

    def __init__(self, file: Path) -> None:
        """Know nothing yet of what `file` says."""
        self.file = file
        self.head: Head | None = None
        self.entries: dict[str, Entry] = {}
        self.notes: list[str] = []
        self.end = _START
        """Hash of the last line: who vouches for it vouches for all the lines before."""

    def begun(self) -> Head:
        """Return what the rollout was to do. Raises RecordError when none was begun."""
        if self.head is None:
            raise RecordError(f"{self.file}: no rollout was begun there")
        return self.head

    def take(self, number: int, line: bytes) -> None:
        """Take in the line with this number. Raises RecordError."""
        where = f"{self.file}:{number}"
        try:
            read = msgspec.json.decode(line, type=_Line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise RecordError(f"{where}: {error}; no record of a rollout") from error
        if read.previous != self.end:
            raise RecordError(f"{where}: does not follow the line before; it was tampered with")
        self.end = hashlib.sha256(line).hexdigest()
        if isinstance(read.what, Head):
            self.head = read.what
            self.entries = {place.name: Entry() for place in read.what.plan.order}
        elif isinstance(read.what, Event):
            self.entries[read.what.node] = read.what.entry
        else:
            self.notes.append(read.what.text)


def read_record(file: Path) -> Told:
    """Return what a rollout's file says now, also while the rollout runs. Raises RecordError."""
    told = Told(file)
    try:
        text = file.read_bytes()
    except OSError as error:
        raise RecordError(f"{file}: {error.strerror}") from error
    for number, line in enumerate(_whole(text).splitlines(keepends=True), start=1):
        told.take(number, line)
    return told


class Record(Told):
    """One rollout's file; held by one program at a time. Raises RecordError."""

    def __init__(self, file: Path) -> None:
        """Open `file`, or make it; what it says already is checked and kept in `head`, `entries`.

        A last line that a kill or a power cut left half written is dropped.
        """
        super().__init__(file)
        self._writing = threading.Lock()  # turns write as well, each in a thread of its own
        self._accepted = (0, _START)
        """Up to where the file is as it is told here, and the hash of its last line: as one."""
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise RecordError(f"{file}: {error.strerror}; name another --record") from error
        with ExitStack() as undo:
            undo.callback(os.close, self._descriptor)
            self._take(os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0))
            undo.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def begin(self, head: Head) -> None:
        """Write what the rollout is to do."""
        if self.head is not None:
            raise RecordError(f"{self.file}: holds a rollout already; resume it, or name another")
        self._write(head)
        self.head = head
        self.entries = {place.name: Entry() for place in head.plan.order}

    def set(self, node: str, entry: Entry) -> None:
        """Say how a node stands; on the medium at return."""
        self._write(Event(node=node, entry=entry))
        self.entries[node] = entry

    def note(self, text: str) -> None:
        """Write down a decision."""
        self._write(Note(text=text))
        self.notes.append(text)

    def _write(self, what: What) -> None:
        with self._writing:
            # What Ctrl-C or the disk cut off after it was written is nothing that anybody heard of.
            length, self.end = self._accepted
            os.ftruncate(self._descriptor, length)
            at = datetime.now(UTC).isoformat(timespec="milliseconds")
            line = msgspec.json.encode(_Line(at=at, previous=self.end, what=what)) + b"\n"
            try:
                append_line(self._descriptor, line)
            except OSError as error:
                why = f"{self.file}: {error.strerror}; nothing more is begun"
                raise RecordError(why) from error
            self._accepted = (length + len(line), hashlib.sha256(line).hexdigest())
            self.end = self._accepted[1]

    def _take(self, text: bytes) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RecordError(f"{self.file}: another program runs this rollout") from error
        whole = _whole(text)
        os.ftruncate(self._descriptor, len(whole))
        os.lseek(self._descriptor, 0, os.SEEK_END)
        for number, line in enumerate(whole.splitlines(keepends=True), start=1):
            self.take(number, line)
        self._accepted = (len(whole), self.end)


def _whole(text: bytes) -> bytes:
    """Return the lines that were written to their end."""
    return text[: text.rfind(b"\n") + 1]
