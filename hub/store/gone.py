"""The ranges that a node said it no longer holds, and how they shrink when it was wrong."""

from collections.abc import Iterable

import sqlalchemy as sa

from hub.store.ranges import Range, count, merged, without
from hub.store.schema import boot, gone


def read_gone(connection: sa.Connection, node: str, run: str) -> list[Range]:
    """Return the ranges noted for a boot, merged."""
    rows = connection.execute(
        sa.select(gone.c.first, gone.c.last).where(gone.c.node == node, gone.c.boot == run)
    )
    return merged((first, last) for first, last in rows)


def write_gone(connection: sa.Connection, node: str, run: str, ranges: Iterable[Range]) -> None:
    """Replace the ranges of a boot and its count by `ranges`."""
    kept = merged(ranges)
    connection.execute(gone.delete().where(gone.c.node == node, gone.c.boot == run))
    if kept:
        connection.execute(
            gone.insert(),
            [{"node": node, "boot": run, "first": first, "last": last} for first, last in kept],
        )
    connection.execute(
        boot.update().where(boot.c.node == node, boot.c.boot == run).values(gone_count=count(kept))
    )


def forget_gone(connection: sa.Connection, node: str, run: str, arrived: Iterable[int]) -> None:
    """Take numbers that `arrived` after all out of the ranges of a boot."""
    before = read_gone(connection, node, run)
    if not before:
        return
    after = without(before, [(seq, seq) for seq in arrived])
    if after != before:
        write_gone(connection, node, run, after)
