"""Reads the audit log and tells whether it is whole, and who really signed each of its lines."""

import base64
import binascii
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from msgspec import Struct

from provisioning.audit.errors import AuditError
from provisioning.audit.keys import fingerprint, is_signed
from provisioning.audit.log import START, Deed, Line, hash_of, signed_bytes

_KIND = "ssh-user"
# A clock that is set by so much is no forger's.
_CLOCK_MAX = timedelta(minutes=5)
_BEGIN = datetime.min.replace(tzinfo=UTC)
_END = datetime.max.replace(tzinfo=UTC)
_TORN = Deed(at="", who="", station="", action="", nodes=())
Row = Mapping[str, object]


class Entry(Struct, frozen=True, kw_only=True):
    """A line that was read: the deed, whom its key was certified for, and what is wrong with it."""

    number: int
    deed: Deed
    signed_by: str = ""
    problem: str = ""


class Read(Struct, frozen=True):
    """A whole log; `head` is the hash of its last line: who keeps it elsewhere sees a cut end."""

    entries: tuple[Entry, ...]
    head: str


class _Certificate(Struct, frozen=True):
    """For whom, from when to when, a key was certified, and until when nobody revoked that."""

    subject: str
    begin: datetime
    end: datetime
    revoked: datetime


def read_log(file: Path, certificates: Sequence[Row]) -> Read:
    """Return every line of `file`; `certificates` are those of the register.

    A last line that was not written to its end is told as a problem: the next one replaces it.
    Raises AuditError when it cannot be read at all, or a line is none.
    """
    try:
        lines = file.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise AuditError(f"{file}: {error.strerror}; nothing was done from here yet?") from error
    whole = [line for line in lines if line.endswith(b"\n")]
    entries = [*_entries(file, whole, _by_key(certificates))]
    if len(whole) < len(lines):
        problem = "was not written to its end, as after a power cut; what it was to say is lost"
        entries.append(Entry(number=len(lines), deed=_TORN, problem=problem))
    return Read(tuple(entries), hash_of(whole[-1]) if whole else START)


def _by_key(rows: Sequence[Row]) -> dict[str, list[_Certificate]]:
    certified: dict[str, list[_Certificate]] = defaultdict(list)
    for row in rows:
        if row["kind"] == _KIND:
            begin, end = _time(str(row["at"])), _time(str(row["not_after"]))
            revoked = _time(str(row["revoked_at"])) if row["revoked_at"] else None
            certified[str(row["fingerprint"])].append(
                _Certificate(str(row["subject"]), begin or _END, end or _BEGIN, revoked or _END)
            )
    return certified


def _entries(
    file: Path, lines: Sequence[bytes], certified: Mapping[str, Sequence[_Certificate]]
) -> Iterator[Entry]:
    previous, latest = START, _BEGIN
    for number, text in enumerate(lines, start=1):
        try:
            line = msgspec.json.decode(text, type=Line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise AuditError(f"{file}:{number}: {error}; no line of an audit log") from error
        signer, problem = "", _broken(line, previous)
        at = _time(line.deed.at)
        if not problem and at is None:
            problem = "its time is none"
        elif not problem and at is not None:
            known = certified.get(fingerprint(line.key), ())
            signer, problem = _signer(line, at, latest, known)
            # Nobody can date the log further ahead than their certificate goes.
            if any(each.begin <= at <= each.end for each in known):
                latest = max(latest, at)
        yield Entry(number=number, deed=line.deed, signed_by=signer, problem=problem)
        previous = hash_of(text)


def _broken(line: Line, previous: str) -> str:
    """Return why the line is not what was once written; empty when it is."""
    if line.previous != previous:
        return "does not follow the line before; something was changed or taken out"
    try:
        signature = base64.b64decode(line.signature, validate=True)
    except binascii.Error:
        return "its signature is none"
    # The last digit has bits that decoding does not look at (RFC 4648, section 3.5).
    if base64.b64encode(signature).decode() != line.signature:
        return "its signature was changed"
    if not is_signed(line.key, signed_bytes(line.previous, line.deed), signature):
        return "its signature does not fit; it was changed"
    return ""


def _signer(
    line: Line, at: datetime, latest: datetime, known: Sequence[_Certificate]
) -> tuple[str, str]:
    """Return whom the key was certified for at that time, or why for nobody.

    A line says itself when it was written; it is no older than the `latest` of those above it.
    """
    if not known:
        mine = fingerprint(line.key)
        return "", f"signed by a key that the fleet authority never certified ({mine})"
    subject = known[-1].subject
    if latest - at > _CLOCK_MAX:
        minutes = (latest - at) // timedelta(minutes=1)
        why = "it was written later, or the clock was set back"
        return subject, f"is dated {minutes} min before a line above it: {why}"
    written = max(at, latest).replace(microsecond=0)  # the register keeps whole seconds
    for each in known:
        if each.begin <= written <= min(each.end, each.revoked):
            return each.subject, ""
    return subject, f"the certificate of {subject} was not valid then"


def _time(text: str) -> datetime | None:
    """Return the time that RFC 3339 words say, in UTC where they do not say; None for others."""
    try:
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
