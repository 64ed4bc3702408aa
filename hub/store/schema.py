"""The tables of the hub, the same for SQLite and PostgreSQL."""

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

SCHEMA_VERSION = 1
"""Grows with every change that an older collector could not live with."""

metadata = sa.MetaData()


class UtcTime(sa.types.TypeDecorator[datetime]):
    """A moment. SQLite knows no time zones, so there it is kept as UTC without one."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Return the moment in UTC, as the database wants it. Raises ValueError when naive."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone; give the moment in UTC")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Return the moment with its zone, UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


_NODE = sa.String(63)
_BOOT = sa.String(16)
_SEQ = sa.BigInteger()
_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

schema_version = sa.Table(
    "schema_version",
    metadata,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
)

measurement = sa.Table(
    "measurement",
    metadata,
    sa.Column("node", _NODE, primary_key=True),
    sa.Column("boot", _BOOT, primary_key=True),
    sa.Column("seq", _SEQ, primary_key=True, autoincrement=False),
    sa.Column("kind", _NODE, nullable=False),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("mono", sa.Double, nullable=False),
    sa.Column("clock_synced", sa.Boolean, nullable=False),
    sa.Column("historical", sa.Boolean, nullable=False),
    sa.Column("received_at", UtcTime, nullable=False),
    sa.Column("data", _JSON, nullable=False),
    # SQLite: the key is the table, so a row is written once and not again in an index.
    sqlite_with_rowid=False,
)

_LIVE = sa.not_(measurement.c.historical)
sa.Index(
    "measurement_live",
    measurement.c.node,
    measurement.c.kind,
    measurement.c.received_at,
    sqlite_where=_LIVE,
    postgresql_where=_LIVE,
)

boot = sa.Table(
    "boot",
    metadata,
    sa.Column("node", _NODE, primary_key=True),
    sa.Column("boot", _BOOT, primary_key=True),
    # Highest seq known to exist, from a measurement or from the node's ledger.
    sa.Column("highest", _SEQ, nullable=False),
    # Measurements stored, and numbers that the node said are gone: a hole exists if and only if
    # stored_count + gone_count < highest.
    sa.Column("stored_count", _SEQ, nullable=False),
    sa.Column("gone_count", _SEQ, nullable=False),
    # Up to here nothing is missing, so the search for holes starts behind it.
    sa.Column("complete_to", _SEQ, nullable=False),
    sa.Column("first_seen", UtcTime, nullable=False),
)

INCOMPLETE = boot.c.stored_count + boot.c.gone_count < boot.c.highest
"""The condition for a boot with holes."""

sa.Index(
    "boot_incomplete",
    boot.c.node,
    boot.c.boot,
    sqlite_where=INCOMPLETE,
    postgresql_where=INCOMPLETE,
)

gone = sa.Table(
    "gone",
    metadata,
    sa.Column("node", _NODE, primary_key=True),
    sa.Column("boot", _BOOT, primary_key=True),
    sa.Column("first", _SEQ, primary_key=True, autoincrement=False),
    sa.Column("last", _SEQ, nullable=False),
    sa.ForeignKeyConstraint(["node", "boot"], ["boot.node", "boot.boot"]),
)
