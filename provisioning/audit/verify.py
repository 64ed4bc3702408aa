"""Reads the audit log and tells whether it is whole, and who really signed each of its lines."""

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from provisioning.audit.errors import AuditError
from provisioning.audit.keys import fingerprint, is_signed
from provisioning.audit.log import START, Deed, Line, hash_of, signed_bytes

_KIND = "ssh-user"
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


def read_log(file: Path, certificates: Sequence[Row]) -> Read:
    """Return every line of `file`; `certificates` are those of the register.

    Raises AuditError when it cannot be read at all, or a line is none.
    """
    try:
        lines = file.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise AuditError(f"{file}: {error.strerror}; nothing was done from here yet?") from error
    return Read(tuple(_entries(file, lines, certificates)), hash_of(lines[-1]) if lines else START)


def _entries(file: Path, lines: Sequence[bytes], certificates: Sequence[Row]) -> Iterator[Entry]:
    previous = START
    for number, text in enumerate(lines, start=1):
        try:
            line = msgspec.json.decode(text, type=Line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise AuditError(f"{file}:{number}: {error}; no line of an audit log") from error
        signer, problem = _judged(line, previous, certificates)
        yield Entry(number=number, deed=line.deed, signed_by=signer, problem=problem)
        previous = hash_of(text)


def _judged(line: Line, previous: str, certificates: Sequence[Row]) -> tuple[str, str]:
    if line.previous != previous:
        return "", "does not follow the line before; something was changed or taken out"
    try:
        signature = base64.b64decode(line.signature, validate=True)
    except binascii.Error:
        return "", "its signature is none"
    # The last digit has bits that decoding does not look at (RFC 4648, section 3.5).
    if base64.b64encode(signature).decode() != line.signature:
        return "", "its signature was changed"
    if not is_signed(line.key, signed_bytes(line.previous, line.deed), signature):
        return "", "its signature does not fit; it was changed"
    return _signer(line, certificates)


def _signer(line: Line, certificates: Sequence[Row]) -> tuple[str, str]:
    """Return whom the key was certified for at that time, or why for nobody."""
    mine = fingerprint(line.key)
    known = [row for row in certificates if row["kind"] == _KIND and row["fingerprint"] == mine]
    if not known:
        return "", f"signed by a key that the fleet authority never certified ({mine})"
    at = line.deed.at[:19]
    for row in known:
        begin, end = str(row["at"])[:19], str(row["not_after"])[:19]
        revoked = str(row["revoked_at"] or "9999")[:19]
        if begin <= at <= end and at <= revoked:
            return str(row["subject"]), ""
    subject = str(known[-1]["subject"])
    return subject, f"the certificate of {subject} was not valid then"
