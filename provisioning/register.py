"""Remembers every card, token, key and certificate: who made it, for which node, and when."""

import csv
import getpass
import io
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from node.messages import SimpulError

REGISTER_FILE = Path("register.db")
KeyState = Literal["flashed", "signed", "renewed", "confirmed", "revoked"]
"""flashed: lies on the card; signed: made by the node from that card and certified; renewed: the
same by a node that was enrolled before; confirmed: was shown; revoked: no key of the node is
believed any more."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS card(
  id INTEGER PRIMARY KEY, at TEXT NOT NULL, who TEXT NOT NULL, node TEXT NOT NULL,
  slot TEXT NOT NULL, device TEXT NOT NULL, serial TEXT NOT NULL, image_sha256 TEXT NOT NULL,
  fingerprints TEXT NOT NULL, verdict TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS host_key(
  id INTEGER PRIMARY KEY, at TEXT NOT NULL, who TEXT NOT NULL, node TEXT NOT NULL,
  public_key TEXT NOT NULL, state TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS token(
  hash TEXT PRIMARY KEY, at TEXT NOT NULL, who TEXT NOT NULL, node TEXT NOT NULL,
  expires_at TEXT NOT NULL, used_at TEXT, used_by TEXT);
CREATE TABLE IF NOT EXISTS authority(
  kind TEXT NOT NULL, generation INTEGER NOT NULL, at TEXT NOT NULL, who TEXT NOT NULL,
  public TEXT NOT NULL, retired_at TEXT, PRIMARY KEY(kind, generation));
CREATE TABLE IF NOT EXISTS certificate(
  kind TEXT NOT NULL, generation INTEGER NOT NULL, serial TEXT NOT NULL, at TEXT NOT NULL,
  who TEXT NOT NULL, subject TEXT NOT NULL, fingerprint TEXT NOT NULL, not_after TEXT NOT NULL,
  revoked_at TEXT, revoked_by TEXT, PRIMARY KEY(kind, generation, serial));
CREATE TABLE IF NOT EXISTS list(
  kind TEXT NOT NULL, generation INTEGER NOT NULL, number INTEGER NOT NULL, at TEXT NOT NULL,
  PRIMARY KEY(kind, generation));
CREATE TABLE IF NOT EXISTS view(
  id INTEGER PRIMARY KEY, at TEXT NOT NULL, who TEXT NOT NULL, node TEXT NOT NULL,
  still_sha256 TEXT NOT NULL);
"""
TABLES = ("card", "host_key", "token", "authority", "certificate", "list", "view")
_BUSY_TIMEOUT_S = 30.0


class RegisterError(SimpulError, OSError):
    """The register cannot be opened, read or written."""


class RevokedError(SimpulError, PermissionError):
    """The node was revoked: nothing is certified or believed before a card is flashed for it."""


class Card(Struct, frozen=True, kw_only=True):
    """A card that was written: where, from which image, with which keys (by fingerprint)."""

    node: str
    slot: str
    device: str
    serial: str
    image_sha256: str
    fingerprints: tuple[str, ...]
    verdict: str


class Register:
    """The register file; every call is one transaction, and several stations' calls queue.

    Who only reads makes no file: what nobody has written yet is empty.
    """

    def __init__(self, file: Path = REGISTER_FILE, *, who: str = "") -> None:
        """Name `file`, which the first writing makes, readable by its owner only.

        Raises RegisterError when it is something else, or has no folder to lie in.
        """
        self.file = file
        self.who = who or _operator()
        with _translated(file):
            if not self.exists:
                file.parent.stat()
                return
        with self.transaction():
            pass

    @property
    def exists(self) -> bool:
        """Whether there is a register yet. Raises RegisterError where nobody can tell."""
        with _translated(self.file):
            try:
                self.file.stat()
            except FileNotFoundError:
                return False
            return True

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Give a connection whose writes are kept together, or not at all after an error."""
        with _translated(self.file):
            _make(self.file)
            db = sqlite3.connect(self.file, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
            try:
                db.execute("PRAGMA synchronous=FULL")
                db.execute("BEGIN IMMEDIATE")
                _furnish(db)
                yield db
                if db.in_transaction:
                    db.execute("COMMIT")
            finally:
                db.close()  # takes back what was not committed

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give a connection for questions only."""
        if self.exists:
            with self.transaction() as db:
                yield db
            return
        with _translated(self.file), closing(sqlite3.connect(":memory:")) as empty:
            _furnish(empty)
            yield empty

    def record_card(self, card: Card) -> None:
        """Note a written card."""
        values = (card.node, card.slot, card.device, card.serial, card.image_sha256)
        with self.transaction() as db:
            db.execute(
                "INSERT INTO card(at, who, node, slot, device, serial, image_sha256, fingerprints,"
                " verdict) VALUES (?,?,?,?,?,?,?,?,?)",
                (now_text(), self.who, *values, " ".join(card.fingerprints), card.verdict),
            )

    def record_host_key(self, node: str, public_key: str, state: KeyState) -> None:
        """Note an SSH host key of `node`. Raises RevokedError for one that it is to be known by."""
        with self.transaction() as db:
            if state == "confirmed":
                refuse_revoked(db, node)
            db.execute(
                "INSERT INTO host_key(at, who, node, public_key, state) VALUES (?,?,?,?,?)",
                (now_text(), self.who, node, public_key, state),
            )
            if state in {"flashed", "revoked"}:
                db.execute(
                    "INSERT INTO view(at, who, node, still_sha256)"
                    " SELECT ?1, ?2, ?3, '' WHERE EXISTS (SELECT 1 FROM view WHERE node = ?3)",
                    (now_text(), self.who, node),
                )

    def host_keys(self, node: str) -> dict[str, KeyState]:
        """Return the keys that `node` may show now, and their states, the newest first.

        A card that was flashed is believed beside the node that runs, which is believed until a
        node from the new card is confirmed; the key that was confirmed is the last. Between signing
        and confirming a node may show either key. After `forget_host_keys` there is none until a
        card is flashed again.
        """
        with self.reading() as db:
            rows = db.execute(
                "SELECT public_key, state FROM host_key WHERE node = ? ORDER BY id", (node,)
            ).fetchall()
        return _believed((row["public_key"], row["state"]) for row in rows)

    def forget_host_keys(self, node: str) -> None:
        """Believe no key of `node` any more, so that only a card flashed anew is enrolled."""
        self.record_host_key(node, "", "revoked")

    def record_view(self, node: str, still_sha256: str) -> None:
        """Note that somebody looked at a still of `node`, and that it shows what it should."""
        with self.transaction() as db:
            db.execute(
                "INSERT INTO view(at, who, node, still_sha256) VALUES (?,?,?,?)",
                (now_text(), self.who, node, still_sha256),
            )

    def view_confirmed(self, node: str) -> bool:
        """Tell whether the view of `node` was confirmed since its last card was flashed.

        That card left a row without a still: no clock is asked what came first.
        """
        with self.reading() as db:
            last = db.execute(
                "SELECT still_sha256 FROM view WHERE node = ? ORDER BY id DESC LIMIT 1", (node,)
            ).fetchone()
        return last is not None and last["still_sha256"] != ""

    def rows(self, table: str) -> list[dict[str, object]]:
        """Return every row of one of TABLES."""
        if table not in TABLES:
            raise RegisterError(f"{table!r} is no table; choose {', '.join(TABLES)}")
        with self.reading() as db:
            return [dict(row) for row in db.execute(f"SELECT * FROM {table}")]  # noqa: S608 - listed

    def export_json(self) -> str:
        """Return the whole register as JSON: table -> rows."""
        return msgspec.json.encode({table: self.rows(table) for table in TABLES}).decode()

    def export_csv(self, table: str) -> str:
        """Return one table as CSV (RFC 4180) with a heading."""
        rows = self.rows(table)
        text = io.StringIO()
        if rows:
            writer = csv.DictWriter(text, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return text.getvalue()


def refuse_revoked(db: sqlite3.Connection, node: str) -> None:
    """Raise RevokedError when the keys of `node` were forgotten and no card was flashed since.

    `db` is the transaction that notes what the node gets: a colleague's revocation comes before it
    or after it, and counts either way.
    """
    last = db.execute(
        "SELECT state FROM host_key WHERE node = ? AND state IN"
        " ('flashed', 'confirmed', 'revoked') ORDER BY id DESC LIMIT 1",
        (node,),
    ).fetchone()
    if last is not None and last["state"] == "revoked":
        raise RevokedError(
            f"{node}: was revoked; flash its card again, or write it a new seed:"
            f" simpul flash {node}, simpul seed {node}"
        )


def now_text() -> str:
    """Return the time now, RFC 3339 in UTC, as the register keeps times; it sorts as text."""
    return as_text(datetime.now(UTC))


def as_text(at: datetime) -> str:
    """Return a time as the register keeps it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _believed(history: Iterable[tuple[str, KeyState]]) -> dict[str, KeyState]:
    """Return what is believed after all that happened to a node's keys, the oldest first."""
    confirmed = card = ""
    signed: list[str] = []  # made from the card
    renewed: list[str] = []  # made by the node that runs
    for key, state in history:
        if state == "revoked":
            confirmed = card = ""
        elif state == "flashed":
            # Whatever was made from the card before may run by now, and only its word was lost.
            card, signed, renewed = key, [], renewed + signed
        elif state == "confirmed":
            if key not in {confirmed, *renewed}:
                card, signed = "", []
            confirmed, renewed = key, []
        elif state == "signed" and card:
            signed.append(key)
        else:  # older registers call a renewal signed as well
            renewed.append(key)
        if not (confirmed or card):
            # What was under way at a revocation and ends behind it is not believed.
            signed, renewed = [], []
    keys: dict[str, KeyState] = dict.fromkeys(reversed(signed), "signed")
    if card:
        keys[card] = "flashed"
    keys |= dict.fromkeys(reversed(renewed), "renewed")
    if confirmed:
        keys.pop(confirmed, None)  # it stands at the end, whatever it was before
        keys[confirmed] = "confirmed"
    return keys


def _furnish(db: sqlite3.Connection) -> None:
    db.row_factory = sqlite3.Row
    for statement in _SCHEMA.split(";"):
        db.execute(statement)


def _make(file: Path) -> None:
    """Make the file when missing, for the person who called sudo to flash: enrolling needs none."""
    try:
        made = os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return
    try:
        if os.geteuid() == 0 and "SUDO_UID" in os.environ:
            os.fchown(made, int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"]))
    finally:
        os.close(made)


def _operator() -> str:
    """Return who works here; the one who called sudo, not root."""
    return os.environ.get("SUDO_USER") or getpass.getuser()


@contextmanager
def _translated(file: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise RegisterError(
            f"{file}: {error}; is it a register, and not full or locked?"
        ) from error
    except UnicodeError as error:
        # A name of bytes that are no UTF-8, as Python takes them from a system (PEP 383).
        what = repr(error.object) if isinstance(error, UnicodeEncodeError) else str(error)
        raise RegisterError(f"{file}: {what} is no text in UTF-8; nothing was kept") from error
    except OSError as error:
        if isinstance(error, SimpulError):
            raise
        raise RegisterError(f"{file}: {error.strerror}; may you write there?") from error
