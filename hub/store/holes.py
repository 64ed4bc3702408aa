"""Finds which measurements are missing; the database is only searched where some are."""

from collections.abc import Collection

import sqlalchemy as sa

from hub.store.database import Database
from hub.store.gone import read_gone
from hub.store.ranges import Hole, Range, without
from hub.store.schema import INCOMPLETE, boot, measurement


def incomplete_boots(
    database: Database, nodes: Collection[str], *, count_max: int
) -> dict[tuple[str, str], int]:
    """Return (node, boot) -> how many measurements are missing, for boots where some are.

    Only boots of `nodes`, and no more than `count_max` of them: then as many of each node, so
    that one with very many hides nobody else's. Read from a partial index: costs nothing while
    nothing is missing. Raises StoreUnavailableError.
    """
    missing = boot.c.highest - boot.c.stored_count - boot.c.gone_count
    turn = sa.func.row_number().over(partition_by=boot.c.node, order_by=boot.c.boot)
    query = (
        sa.select(boot.c.node, boot.c.boot, missing)
        .where(INCOMPLETE, boot.c.node.in_(sorted(nodes)))
        .order_by(turn, boot.c.node)
        .limit(count_max)
    )
    with database.transaction() as connection:
        return {(node, run): amount for node, run, amount in connection.execute(query)}


def holes(database: Database, node: str, *, boot_id: str | None = None) -> list[Hole]:
    """Return what is missing of `node`, oldest boot first; of one boot when `boot_id` is given.

    Raises StoreUnavailableError.
    """
    query = (
        sa.select(boot.c.boot, boot.c.complete_to, boot.c.highest)
        .where(boot.c.node == node, INCOMPLETE)
        .order_by(boot.c.first_seen, boot.c.boot)
    )
    if boot_id is not None:
        query = query.where(boot.c.boot == boot_id)
    found: list[Hole] = []
    with database.transaction() as connection:
        for run, complete_to, highest in connection.execute(query).all():
            ranges = missing_ranges(connection, node, run, after=complete_to, highest=highest)
            if ranges and ranges[0][0] > complete_to + 1:
                connection.execute(
                    boot.update()
                    .where(boot.c.node == node, boot.c.boot == run)
                    .values(complete_to=ranges[0][0] - 1)
                )
            found += [Hole(run, first, last) for first, last in ranges]
    return found


def missing_ranges(
    connection: sa.Connection, node: str, run: str, *, after: int, highest: int
) -> list[Range]:
    """Return the ranges in after+1 .. highest that are neither stored nor gone."""
    seq = measurement.c.seq
    seqs = (
        sa.select(seq, sa.func.lead(seq).over(order_by=seq).label("next"))
        .where(measurement.c.node == node, measurement.c.boot == run, seq > after)
        .subquery()
    )
    # Not seq + 1: the largest number has no successor in 64 bits.
    query = sa.select(seqs.c.seq, seqs.c.next).where(seqs.c.next - seqs.c.seq > 1)
    lowest, top = connection.execute(
        sa.select(sa.func.min(seq), sa.func.max(seq)).where(
            measurement.c.node == node, measurement.c.boot == run, seq > after
        )
    ).one()
    if lowest is None:
        unstored: list[Range] = [(after + 1, highest)]
    else:
        between = [(low + 1, high - 1) for low, high in connection.execute(query)]
        unstored = [(after + 1, lowest - 1), *between, (top + 1, highest)]
    return without(unstored, read_gone(connection, node, run))
