"""Old measurements go, and neither become holes nor upset the count of those that stay."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import sqlalchemy as sa

from hub.store import (
    Arrival,
    Database,
    Hole,
    Mark,
    forget_old,
    holes,
    incomplete_boots,
    note_gone,
    note_ledger,
    store,
)
from hub.store import forget as forget_module
from hub.store.schema import boot, measurement
from node.messages import BootLedger, Envelope, Seqs

NODE = "adam-malik"
BOOT, OTHER = "00000000000000aa", "00000000000000bb"
NOW = datetime(2026, 5, 1, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=500)
LIMIT = NOW - timedelta(days=400)


def put(
    database: Database, *seqs: int, node: str = NODE, run: str = BOOT, at: datetime = LONG_AGO
) -> int:
    arrivals = [
        Arrival(
            Envelope(
                node=node, boot=run, seq=seq, at=at, mono=1.0, clock_synced=True,
                historical=False, kind="wifi", data=msgspec.Raw(b"{}"),
            ),
            at,
        )
        for seq in seqs
    ]  # fmt: skip
    return store(database, arrivals)


def forget(database: Database) -> int:
    """Run a whole pass and return of how many portions it was."""
    mark: Mark | None = Mark()
    count = 0
    while mark is not None:
        mark = forget_old(database, before=LIMIT, mark=mark)
        count += 1
        assert count < 1000
    return count


def kept(database: Database, *, node: str = NODE, run: str = BOOT) -> list[int]:
    seq = measurement.c.seq
    query = sa.select(seq).where(measurement.c.node == node, measurement.c.boot == run)
    with database.transaction() as connection:
        return list(connection.scalars(query.order_by(seq)))


def counted(database: Database) -> tuple[int, int, int, int]:
    """Return highest, stored, gone and complete_to of the boot."""
    table = boot.c
    with database.transaction() as connection:
        row = connection.execute(
            sa.select(table.highest, table.stored_count, table.gone_count, table.complete_to).where(
                table.node == NODE, table.boot == BOOT
            )
        ).one()
    return row.highest, row.stored_count, row.gone_count, row.complete_to


def lacking(database: Database) -> dict[tuple[str, str], int]:
    return incomplete_boots(database, [NODE], count_max=10)


def test_only_what_is_old_goes_and_no_hole_is_left(database: Database) -> None:
    put(database, 1, 2, 3)
    put(database, 4, 5, at=NOW)
    put(database, 1, 2, run=OTHER)
    put(database, 1, node="taman-bunga", at=NOW)
    forget(database)
    assert kept(database) == [4, 5]
    assert kept(database, run=OTHER) == []
    assert kept(database, node="taman-bunga") == [1]
    assert holes(database, NODE) == []
    assert counted(database) == (5, 5, 0, 5)
    put(database, 7, at=NOW)
    assert holes(database, NODE) == [Hole(BOOT, 6, 6)]
    note_gone(database, NODE, BOOT, [Seqs(first=1, last=9)])
    assert counted(database) == (7, 6, 1, 7)


def test_a_hole_among_what_goes_is_closed_and_a_new_one_stays(database: Database) -> None:
    put(database, 2, 3, 6)
    put(database, 8, 9, at=NOW)
    note_ledger(database, [(NODE, BootLedger(boot=BOOT, last_seq=10))], at=NOW)
    forget(database)
    assert kept(database) == [8, 9]
    assert holes(database, NODE) == [Hole(BOOT, 7, 7), Hole(BOOT, 10, 10)]
    assert lacking(database) == {(NODE, BOOT): 2}
    note_gone(database, NODE, BOOT, [Seqs(first=1, last=10)])
    assert lacking(database) == {}
    assert counted(database) == (10, 5, 5, 10)


def test_what_came_late_among_the_old_stays(database: Database) -> None:
    put(database, 1, 2, 5, 6)
    put(database, 3, at=NOW)
    note_gone(database, NODE, BOOT, [Seqs(first=4, last=4)])
    forget(database)
    assert kept(database) == [3]
    assert holes(database, NODE) == []
    assert counted(database) == (6, 5, 1, 6)


def test_it_goes_in_portions(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forget_module, "_ROWS_MAX", 3)
    monkeypatch.setattr(forget_module, "_BOOTS_MAX", 2)
    put(database, 1, 2, 4, 5, 6, 8, 9, 11)
    put(database, 7, 10, at=NOW)
    for run in range(5):
        put(database, 1, run=f"{run:016x}")
    forget(database)
    assert kept(database) == [7, 10]
    assert counted(database) == (11, 10, 1, 11)
    assert forget(database) <= 5  # empty boots are passed over
    put(database, 14, at=NOW)
    assert holes(database, NODE) == [Hole(BOOT, 12, 13)]
