"""Stores measurements: one transaction for a batch, and each (node, boot, seq) once."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from hub.store.database import Database
from hub.store.gone import forget_gone
from hub.store.schema import boot, measurement
from hub.store.storable import storable_json
from node.messages import Envelope

_Key: TypeAlias = tuple[str, str, int]


class Arrival(NamedTuple):
    """A measurement and when the hub got it."""

    envelope: Envelope
    received_at: datetime


def store(database: Database, batch: Sequence[Arrival]) -> int:
    """Store `batch` in one transaction and return how many were not known before.

    Only envelopes with seq >= 1 are measurements. When this returns, they are on disk.
    Raises StoreUnavailableError or StoreRefusedError; then nothing of the batch is stored.
    """
    if not batch:
        return 0
    # A fixed order lets two collectors write side by side without a deadlock.
    rows = sorted(map(_row, batch), key=lambda row: (row["node"], row["boot"], row["seq"]))
    highest: dict[tuple[str, str], int] = {
        (str(row["node"]), str(row["boot"])): int(str(row["seq"])) for row in rows
    }
    first_seen = min(arrival.received_at for arrival in batch)
    with database.transaction() as connection:
        new = _insert_new(connection, rows)
        stored = Counter((node, run) for node, run, _seq in new)
        _shrink_gone(connection, new)
        count_boots(connection, highest, stored, first_seen=first_seen)
    return len(new)


def count_boots(
    connection: sa.Connection,
    highest: dict[tuple[str, str], int],
    stored: Counter[tuple[str, str]],
    *,
    first_seen: datetime,
) -> None:
    """Raise what is known of each (node, boot): its highest seq and how many are stored."""
    for (node, run), seq in sorted(highest.items()):
        statement = _insert_of(connection, boot).values(
            node=node,
            boot=run,
            highest=seq,
            stored_count=stored[node, run],
            gone_count=0,
            complete_to=0,
            first_seen=first_seen,
        )
        new = statement.excluded
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["node", "boot"],
                set_={
                    "highest": sa.case(
                        (new.highest > boot.c.highest, new.highest), else_=boot.c.highest
                    ),
                    "stored_count": boot.c.stored_count + new.stored_count,
                },
            )
        )
    close_complete(connection, highest)


def close_complete(connection: sa.Connection, boots: Iterable[tuple[str, str]]) -> None:
    """Note of each (node, boot) without a hole that all up to its highest seq is there."""
    for node, run in sorted(boots):
        connection.execute(
            boot.update()
            .where(
                boot.c.node == node,
                boot.c.boot == run,
                boot.c.stored_count + boot.c.gone_count == boot.c.highest,
            )
            .values(complete_to=boot.c.highest)
        )


def _row(arrival: Arrival) -> dict[str, object]:
    envelope = arrival.envelope
    return {
        "node": envelope.node,
        "boot": envelope.boot,
        "seq": envelope.seq,
        "kind": envelope.kind,
        "at": envelope.at,
        "mono": envelope.mono,
        "clock_synced": envelope.clock_synced,
        "historical": envelope.historical,
        "received_at": arrival.received_at,
        "data": storable_json(envelope.data),
    }


def _insert_of(connection: sa.Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    # Both dialects spell "on conflict" the same way, but SQLAlchemy has a class for each.
    if connection.dialect.name == "sqlite":
        return sqlite.Insert(table)
    return postgresql.Insert(table)


def _insert_new(connection: sa.Connection, rows: list[dict[str, object]]) -> list[_Key]:
    """Insert what is not there yet, and return the keys that were not."""
    table = measurement.c
    statement = _insert_of(connection, measurement).on_conflict_do_nothing()
    new = connection.execute(statement.returning(table.node, table.boot, table.seq), rows)
    return [(row.node, row.boot, row.seq) for row in new]


def _shrink_gone(connection: sa.Connection, new: list[_Key]) -> None:
    boots = sorted({(node, run) for node, run, _seq in new})
    for node, run in boots:
        forget_gone(connection, node, run, [seq for at, of, seq in new if (at, of) == (node, run)])
