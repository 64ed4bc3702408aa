"""Deletes old measurements, a portion at a time, and leaves no hole where they were."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from hub.store.database import Database
from hub.store.gone import read_gone, write_gone
from hub.store.keep import close_complete
from hub.store.ranges import without
from hub.store.schema import boot, measurement

_ROWS_MAX = 1000
_BOOTS_MAX = 100


class Mark(NamedTuple):
    """How far a pass came: up to this number of this boot."""

    node: str = ""
    boot: str = ""
    seq: int = 0


def forget_old(database: Database, *, before: datetime, mark: Mark) -> Mark | None:
    """Delete some of what was received `before`, behind `mark`; return how far it came.

    None at the end. A pass begins with Mark(). What never came in among what is deleted counts
    as gone: no node keeps it that long. Raises StoreUnavailableError or StoreRefusedError.
    """
    with database.transaction() as connection:
        last = _forget_portion(connection, mark, before)
        if last is not None:
            return mark._replace(seq=last)
        return _next_boot(connection, mark, before)


def _forget_portion(connection: sa.Connection, mark: Mark, before: datetime) -> int | None:
    """Return the last number deleted, or None when nothing old is next."""
    seq, received_at = measurement.c.seq, measurement.c.received_at
    behind = (measurement.c.node == mark.node, measurement.c.boot == mark.boot, seq > mark.seq)
    portion = connection.execute(
        sa.select(seq, received_at).where(*behind).order_by(seq).limit(_ROWS_MAX)
    ).all()
    old = [row.seq for row in portion if row.received_at < before]
    if not old:
        return None
    _complete(connection, mark, [row.seq for row in portion if row.seq <= old[-1]])
    connection.execute(measurement.delete().where(*behind, seq <= old[-1], received_at < before))
    return int(old[-1])


def _complete(connection: sa.Connection, mark: Mark, stored: Sequence[int]) -> None:
    """Note that nothing is missing up to the last of `stored`, the numbers behind `mark`."""
    last = stored[-1]
    key = (boot.c.node == mark.node, boot.c.boot == mark.boot)
    complete_to = connection.scalars(sa.select(boot.c.complete_to).where(*key)).one()
    if complete_to >= last:
        return
    lost = without([(complete_to + 1, last)], [(seq, seq) for seq in stored])
    if lost:
        gone = read_gone(connection, mark.node, mark.boot)
        write_gone(connection, mark.node, mark.boot, [*gone, *lost])
    connection.execute(boot.update().where(*key).values(complete_to=last))
    close_complete(connection, [(mark.node, mark.boot)])


def _next_boot(connection: sa.Connection, mark: Mark, before: datetime) -> Mark | None:
    kept = (
        sa.exists()
        .where(measurement.c.node == boot.c.node, measurement.c.boot == boot.c.boot)
        .label("kept")
    )
    behind = sa.tuple_(boot.c.node, boot.c.boot) > sa.tuple_(mark.node, mark.boot)
    boots = connection.execute(
        sa.select(boot.c.node, boot.c.boot, kept)
        .where(behind, boot.c.first_seen < before)
        .order_by(boot.c.node, boot.c.boot)
        .limit(_BOOTS_MAX)
    ).all()
    if not boots:
        return None
    found = next((row for row in boots if row.kept), boots[-1])
    return Mark(found.node, found.boot)
