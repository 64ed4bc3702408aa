"""Finds the newest live measurement of every node, to show after a restart."""

import msgspec
import sqlalchemy as sa

from hub.store.database import Database
from hub.store.keep import Arrival
from hub.store.schema import boot, measurement
from node.messages import Envelope


def newest(database: Database, kind: str) -> list[Arrival]:
    """Return, for each node, its newest measurement of `kind` that was not sent late.

    Raises StoreUnavailableError.
    """
    found: list[Arrival] = []
    with database.transaction() as connection:
        nodes = connection.scalars(sa.select(boot.c.node).distinct()).all()
        for node in nodes:
            row = connection.execute(
                sa.select(measurement)
                .where(
                    measurement.c.node == node,
                    measurement.c.kind == kind,
                    sa.not_(measurement.c.historical),
                )
                .order_by(measurement.c.received_at.desc())
                .limit(1)
            ).one_or_none()
            if row is not None:
                found.append(_arrival(row))
    return found


def _arrival(row: sa.Row[tuple[object, ...]]) -> Arrival:
    envelope = Envelope(
        node=row.node,
        boot=row.boot,
        seq=row.seq,
        at=row.at,
        mono=row.mono,
        clock_synced=row.clock_synced,
        historical=row.historical,
        kind=row.kind,
        data=msgspec.Raw(msgspec.json.encode(row.data)),
    )
    return Arrival(envelope, row.received_at)
