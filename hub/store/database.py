"""Opens the database, SQLite or PostgreSQL, and gives foreign errors a name of ours."""

import contextlib
import sqlite3
from collections.abc import Iterator

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from hub.errors import SettingsError, StoreRefusedError, StoreUnavailableError
from hub.store.schema import SCHEMA_VERSION, metadata, schema_version

_CONNECT_TIMEOUT_SECONDS = 5
_POSTGRESQL_OPTIONS = {
    "connect_timeout": _CONNECT_TIMEOUT_SECONDS,
    # Moments come back in UTC, and a vanished server is noticed without waiting for TCP.
    "options": "-c timezone=utc",
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


class Database:
    """One database; transactions are the only way in. Safe to share between threads."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Give a connection inside of a transaction, committed at the end of the block.

        Raises StoreUnavailableError when trying again may help (not reachable, restarting, disk
        full, table missing ...), StoreRefusedError when the content itself is refused.
        """
        try:
            with self._engine.begin() as connection:
                yield connection
        except (sa.exc.DataError, sa.exc.IntegrityError) as error:
            raise StoreRefusedError(f"the database refuses the content: {_first(error)}") from error
        except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
            raise StoreUnavailableError(f"the database does not work: {_first(error)}") from error

    def create_tables(self) -> None:
        """Create what is missing; does nothing to tables that exist.

        Raises StoreUnavailableError, and SettingsError when the tables are of another version.
        """
        try:
            self._create_tables()
        except StoreRefusedError as error:
            # Another collector creates them at this moment (PostgreSQL reports its own catalogue).
            raise StoreUnavailableError(str(error)) from error

    def _create_tables(self) -> None:
        with self.transaction() as connection:
            metadata.create_all(connection)
            version = connection.execute(sa.select(schema_version.c.version)).scalar()
            if version is None:
                connection.execute(schema_version.insert().values(version=SCHEMA_VERSION))
            elif version != SCHEMA_VERSION:
                raise SettingsError(
                    f"the database has tables of version {version}, this program needs "
                    f"{SCHEMA_VERSION}; migrate the database or install the matching release"
                )

    def close(self) -> None:
        """Close every connection that is not in use."""
        self._engine.dispose()


def open_database(url: str, *, password: str = "") -> Database:
    """Return the database at `url` without connecting yet.

    `url` is sqlite:////absolute/path or postgresql://user@host:port/name (or a unix socket:
    postgresql://user@/name?host=/directory). Raises SettingsError when it is neither.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise SettingsError("database.url is not a database address") from error
    if parsed.password is not None:
        raise SettingsError("database.url holds a password; put it in database.password_file")
    if parsed.drivername == "sqlite":
        engine = sa.create_engine(parsed, json_serializer=str, json_deserializer=_read_json)
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return Database(engine)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg", password=password or None)
        return Database(
            sa.create_engine(
                parsed,
                json_serializer=str,
                json_deserializer=_read_json,
                connect_args=_POSTGRESQL_OPTIONS,
                pool_size=2,
            )
        )
    raise SettingsError(f"database.url starts with {parsed.drivername}; use sqlite or postgresql")


def _read_json(text: str | bytes) -> object:
    return msgspec.json.decode(text)


def _prepare_sqlite(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    if not isinstance(connection, sqlite3.Connection):
        raise TypeError(f"{type(connection)} is not a connection of sqlite3")
    # The driver would open transactions at moments of its own; ours begin where we say.
    connection.isolation_level = None
    for pragma in (
        "busy_timeout = 5000",
        "journal_mode = WAL",
        "synchronous = FULL",  # a commit that the broker hears of must survive a power cut
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: sa.Connection) -> None:
    # IMMEDIATE: a reader that becomes a writer half-way would fail with SQLITE_BUSY.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _first(error: sa.exc.SQLAlchemyError) -> str:
    """Return the driver's own first line: no statement, no parameters, hence no content."""
    cause = getattr(error, "orig", None) or error
    return next(iter(str(cause).splitlines()), type(cause).__name__)
