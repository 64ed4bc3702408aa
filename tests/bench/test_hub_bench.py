"""How many measurements a second the hub's store keeps, beside the database's own least."""

import sqlite3
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from services.postgres import Postgres, postgres_bin

from hub.store import Arrival, open_database, store
from node.messages import Envelope, Health, encode

pytestmark = pytest.mark.bench

MESSAGES, BATCH = 20_000, 500
NOW = datetime(2026, 5, 1, tzinfo=UTC)


def arrivals() -> list[Arrival]:
    return [
        Arrival(
            Envelope(
                node="taman-bunga", boot="0" * 16, seq=seq, at=NOW, mono=seq / 10,
                clock_synced=True, historical=False, kind="health",
                data=msgspec.Raw(encode(Health(uptime_seconds=seq, load_1min=0.3))),
            ),
            NOW,
        )
        for seq in range(1, MESSAGES + 1)
    ]  # fmt: skip


def rate(url: str) -> float:
    database = open_database(url)
    database.create_tables()
    waiting = arrivals()
    start = time.perf_counter()
    for at in range(0, MESSAGES, BATCH):
        assert store(database, waiting[at : at + BATCH]) == BATCH
    took = time.perf_counter() - start
    database.close()
    return MESSAGES / took


def bare_rate(file: Path) -> float:
    """Insert the same rows with the driver alone, committed as often and as durably."""
    rows = [(a.envelope.node, a.envelope.seq, bytes(a.envelope.data)) for a in arrivals()]
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE m(node TEXT, seq INTEGER, data BLOB, PRIMARY KEY (node, seq))")
        start = time.perf_counter()
        for at in range(0, MESSAGES, BATCH):
            with db:
                db.executemany("INSERT INTO m VALUES (?, ?, ?)", rows[at : at + BATCH])
        return MESSAGES / (time.perf_counter() - start)


def test_store(tmp_path: Path) -> None:
    bare = bare_rate(tmp_path / "bare.db")
    sqlite = rate(f"sqlite:///{tmp_path}/hub.db")
    print(
        f"\n  hub's store, batches of {BATCH}: SQLite {sqlite:,.0f} messages/s,"
        f" {sqlite / bare:.2f} x the driver alone ({bare:,.0f})",
        end="",
    )
    if postgres_bin() is not None:
        with tempfile.TemporaryDirectory() as name:
            Path(name).chmod(0o711)
            with Postgres(Path(name) / "pg") as server:
                print(f"; PostgreSQL {rate(server.url):,.0f} messages/s", end="")
    assert sqlite > 1_000
