"""Writes the audit log: a file that only grows, each line bound to the one before it and signed.

A line is on the medium before its deed begins; where it cannot be written, nothing is done.
"""

import base64
import fcntl
import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from provisioning.append import append_line
from provisioning.audit.errors import AuditError
from provisioning.audit.keys import SigningKey

AUDIT_FILE = Path("audit.jsonl")
START = "0" * 64
_CONTEXT = b"simpul-audit-1\n"  # so that no signature for something else is taken for one of these
_PIECE_BYTES = 1 << 16
_BREAKS_AROUND_A_LINE = 2
_MODE = 0o640


class Deed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who did what, where; `at` is RFC 3339 in UTC. `outcome` is empty while it is only begun."""

    at: str
    who: str
    station: str
    action: str
    nodes: tuple[str, ...]
    detail: str = ""
    outcome: str = ""


class Line(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line of the log: a deed, bound to the hash of the line before it, signed by `key`."""

    previous: str
    deed: Deed
    key: str
    signature: str


class AuditLog(Struct, frozen=True):
    """The log of one station; several commands may write at once, one line after the other."""

    file: Path
    key: SigningKey
    who: str

    def write(
        self, action: str, nodes: tuple[str, ...], *, detail: str = "", outcome: str = ""
    ) -> str:
        """Append a deed; return the hash of its line. Raises AuditError."""
        with _locked(self.file) as handle:
            deed = Deed(
                at=datetime.now(UTC).isoformat(timespec="milliseconds"),
                who=self.who,
                station=socket.gethostname(),
                action=action,
                nodes=nodes,
                detail=detail,
                outcome=outcome,
            )
            previous = _last_hash(handle)
            signature = self.key.sign(signed_bytes(previous, deed))
            line = Line(
                previous=previous,
                deed=deed,
                key=self.key.public,
                signature=base64.b64encode(signature).decode(),
            )
            text = msgspec.json.encode(line) + b"\n"
            append_line(handle, text)
        return hash_of(text)

    @contextmanager
    def doing(self, action: str, nodes: tuple[str, ...], detail: str = "") -> Iterator[None]:
        """Write that a deed begins, and how it ended: done, or what was raised."""

        def ended(_kind: object, error: BaseException | None, _trace: object) -> None:
            outcome = "done" if error is None else "interrupted"
            if isinstance(error, Exception):
                outcome = f"{type(error).__name__}: {error}"
            self.write(action, nodes, detail=detail, outcome=outcome)

        self.write(action, nodes, detail=detail)
        with ExitStack() as stack:
            stack.push(ended)
            yield


def signed_bytes(previous: str, deed: Deed) -> bytes:
    """Return what is signed of a line."""
    return _CONTEXT + previous.encode() + b"\n" + msgspec.json.encode(deed)


def hash_of(line: bytes) -> str:
    """Return the hash by which the next line is bound to this one."""
    return hashlib.sha256(line).hexdigest()


@contextmanager
def _locked(file: Path) -> Iterator[int]:
    try:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _MODE)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield handle
        finally:
            os.close(handle)
    except OSError as error:
        if isinstance(error, AuditError):
            raise
        raise AuditError(f"{file}: {error.strerror}; nothing is done without the audit log") from (
            error
        )


def _last_hash(handle: int) -> str:
    """Return the hash of the last whole line; what a power cut left of another is taken away.

    Read from the end, a piece more each time: one line may name every node of a fleet.
    """
    size = os.fstat(handle).st_size
    tail, begin = b"", size
    while begin and tail.count(b"\n") < _BREAKS_AROUND_A_LINE:
        piece_bytes = min(_PIECE_BYTES, begin)
        begin -= piece_bytes
        tail = os.pread(handle, piece_bytes, begin) + tail
    whole = tail[: tail.rfind(b"\n") + 1]
    if len(whole) < len(tail):
        os.ftruncate(handle, begin + len(whole))
    lines = whole.splitlines(keepends=True)
    return hash_of(lines[-1]) if lines else START
