"""Real databases and brokers for the hub's tests."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from services.mosquitto import Mosquitto, mosquitto_program
from services.postgres import Postgres, postgres_bin

from hub.store import Database, open_database


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL server for all tests of a run."""
    if postgres_bin() is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    # Not below pytest's own directory: the server's user may not enter that.
    with tempfile.TemporaryDirectory(prefix="simpul-") as root:
        Path(root).chmod(0o755)
        with Postgres(Path(root) / "postgres") as server:
            yield server


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """Start a broker for one test."""
    if mosquitto_program() is None:
        pytest.skip("Mosquitto is not installed: apt-get install mosquitto")
    with Mosquitto(tmp_path / "mosquitto") as broker:
        yield broker


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/hub.db"
    server: Postgres = request.getfixturevalue("postgres")
    return server.fresh_database()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Open an empty database with its tables, of each kind in turn."""
    opened = open_database(database_url)
    opened.create_tables()
    yield opened
    opened.close()
