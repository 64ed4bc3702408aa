"""Keeps batches in one SQLite file that survives a power cut, and answers which are unsent."""

import sqlite3
from collections.abc import Collection, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec import Struct

from node.errors import OutboxError
from node.messages import BootLedger, Seqs
from node.outbox.batch import Batch, Key, Rank

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE batch(
  id INTEGER PRIMARY KEY, rank INTEGER NOT NULL, boot TEXT NOT NULL,
  first INTEGER NOT NULL, last INTEGER NOT NULL, at REAL NOT NULL, synced INTEGER NOT NULL,
  cost_bytes INTEGER NOT NULL, sent INTEGER NOT NULL DEFAULT 0, UNIQUE (boot, first));
CREATE INDEX batch_unsent ON batch(rank, id) WHERE sent = 0;
-- Apart from batch, so that marking a batch as sent rewrites a short row only.
CREATE TABLE body(id INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE counter(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO counter VALUES ('sacrificed', 0);
"""
_WAL_BYTES_MAX = 4_194_304


class StoreDamagedError(OutboxError):
    """The outbox file is not a readable SQLite database any more."""


class StoreReadOnlyError(OutboxError):
    """The file was opened on a read-only disk, and stays so until it is opened anew."""


class Shelf(Struct, frozen=True):
    """What the index knows of a batch, without its body."""

    key: Key
    last: int
    cost_bytes: int
    sent: bool

    @property
    def count(self) -> int:
        """Number of messages."""
        return self.last - self.key.first + 1


class Totals(Struct, frozen=True):
    """Sums over the whole file."""

    held_bytes: int
    unsent_count: int
    sacrificed_count: int


class Store:
    """The SQLite file of the outbox; one thread at a time.

    Every method raises OutboxError when the disk refuses (full, read-only, gone) and
    StoreDamagedError when the file is damaged. Durable at return: WAL with synchronous=FULL.
    """

    def __init__(self, file: Path) -> None:
        """Open or create `file`. Raises as every method does."""
        self._file = file
        with _translated(file), ExitStack() as undo:
            self._db = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
            undo.callback(self._db.close)
            self._prepare()
            undo.pop_all()

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES_MAX}")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._db.executescript(
                f"BEGIN; {_SCHEMA} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT"
            )
        elif version != _SCHEMA_VERSION:
            raise StoreDamagedError(
                f"{self._file}: format {version} of another agent version; "
                f"this one reads {_SCHEMA_VERSION}"
            )

    def close(self) -> None:
        """Close the file; what was written stays."""
        self._db.close()

    def write(self, batches: Iterable[Batch], sent: Iterable[Key]) -> None:
        """Add `batches` and mark the batches `sent`, in one transaction."""
        with self._transaction():
            for batch in batches:
                row = self._db.execute(
                    "INSERT INTO batch(rank, boot, first, last, at, synced, cost_bytes)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        batch.rank,
                        batch.boot,
                        batch.first,
                        batch.last,
                        batch.at,
                        batch.synced,
                        batch.cost_bytes,
                    ),
                ).lastrowid
                self._db.execute("INSERT INTO body VALUES (?, ?)", (row, batch.body))
            self._db.executemany("UPDATE batch SET sent = 1 WHERE boot = ? AND first = ?", sent)

    def delete(self, keys: Collection[Key], *, sacrificed_count: int) -> None:
        """Remove batches and count the messages among them that were given up unsent."""
        with self._transaction():
            self._db.executemany(
                "DELETE FROM body WHERE id = (SELECT id FROM batch WHERE boot = ? AND first = ?)",
                keys,
            )
            self._db.executemany("DELETE FROM batch WHERE boot = ? AND first = ?", keys)
            self._db.execute(
                "UPDATE counter SET value = value + ? WHERE name = 'sacrificed'",
                (sacrificed_count,),
            )

    def batch(self, key: Key) -> Batch | None:
        """Return one batch, or None when it was removed."""
        return next(self._batches("boot = ? AND first = ?", key), None)

    def unsent_count(self, keys: Iterable[Key]) -> int:
        """Return how many messages of these batches are here and not marked sent."""
        with _translated(self._file):
            rows = (
                self._db.execute(
                    "SELECT last - first + 1 FROM batch WHERE boot = ? AND first = ? AND sent = 0",
                    key,
                ).fetchone()
                for key in keys
            )
            return sum(row[0] for row in rows if row)

    def every(self, *, newest_first: bool) -> Iterator[Batch]:
        """Yield every batch in the order of writing or against it."""
        return self._batches(f"TRUE ORDER BY id {'DESC' if newest_first else 'ASC'}", ())

    def next_unsent(self, *, skip: Collection[Key]) -> Batch | None:
        """Return the unsent batch to send next: events first, then the oldest."""
        with _translated(self._file):
            rows = self._db.execute(
                "SELECT boot, first FROM batch WHERE sent = 0 ORDER BY rank, id"
            )
            key = next((key for key in map(Key._make, rows) if key not in skip), None)
            rows.close()
        return None if key is None else self.batch(key)

    def oldest(
        self, *, sent: bool, rank: Rank | None = None, before: float | None = None
    ) -> Generator[Shelf]:
        """Yield batches from the oldest, limited to `rank` and to a believable age when given.

        `before` is wall time in seconds since 1970. Exhaust or close before the next call.
        """
        where, values = "sent = ?", [float(sent)]
        if rank is not None:
            where, values = f"{where} AND rank = ?", [*values, rank]
        if before is not None:
            where, values = f"{where} AND synced AND at < ?", [*values, before]
        return self._shelves(f"{where} ORDER BY id", values)

    def covering(self, boot: str, first: int, last: int) -> list[Shelf]:
        """Return the batches that touch a range, in its order."""
        where = "boot = ? AND first <= ? AND last >= ? ORDER BY first"
        return list(self._shelves(where, (boot, last, first)))

    def ledgers(self) -> list[BootLedger]:
        """Return how far every run counted that still has messages here, oldest first."""
        with _translated(self._file):
            rows = self._db.execute(
                "SELECT boot, max(last) FROM batch GROUP BY boot ORDER BY max(id)"
            ).fetchall()
        return [BootLedger(boot=boot, last_seq=last) for boot, last in rows]

    def totals(self) -> Totals:
        """Sum up the whole file."""
        with _translated(self._file):
            row = self._db.execute(
                "SELECT coalesce(sum(cost_bytes), 0),"
                " coalesce(sum((last - first + 1) * (1 - sent)), 0),"
                " (SELECT value FROM counter WHERE name = 'sacrificed') FROM batch"
            ).fetchone()
        return Totals(*row)

    def _batches(self, where: str, values: Iterable[object]) -> Iterator[Batch]:
        with _translated(self._file):
            rows = self._db.execute(
                "SELECT rank, boot, first, last, at, synced, body"  # noqa: S608 - constants only
                f" FROM batch JOIN body USING (id) WHERE {where}",
                tuple(values),
            )
            for rank, boot, first, last, at, synced, body in rows:
                yield Batch(
                    rank=Rank(rank),
                    boot=boot,
                    first=first,
                    last=last,
                    at=at,
                    synced=bool(synced),
                    body=body,
                )

    def _shelves(self, where: str, values: Iterable[object]) -> Generator[Shelf]:
        with _translated(self._file):
            rows = self._db.execute(
                f"SELECT boot, first, last, cost_bytes, sent FROM batch WHERE {where}",  # noqa: S608 - constants only
                tuple(values),
            )
            for boot, first, last, cost_bytes, sent in rows:
                yield Shelf(Key(boot, first), last, cost_bytes, bool(sent))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _translated(self._file):
            self._db.execute("BEGIN IMMEDIATE")
            with self._db:  # commits, or rolls back after an error
                yield


@contextmanager
def _translated(file: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        # Python's own errors of sqlite3 have no such name.
        name = getattr(error, "sqlite_errorname", "")
        kind = StoreReadOnlyError if name.startswith("SQLITE_READONLY") else OutboxError
        raise kind(f"{file}: {error}; check the disk's space and its mount") from error
    except sqlite3.DatabaseError as error:
        raise StoreDamagedError(f"{file}: {error}") from error


def without(first: int, last: int, held: list[Shelf]) -> Iterator[Seqs]:
    """Yield what of a closed range `held` does not cover."""
    at = first
    for shelf in sorted(held, key=lambda shelf: shelf.key):
        if shelf.key.first > last:
            break
        if shelf.key.first > at:
            yield Seqs(first=at, last=shelf.key.first - 1)
        at = max(at, shelf.last + 1)
    if at <= last:
        yield Seqs(first=at, last=last)
