"""What reaches the database, and that nothing of one node holds up the others."""

import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from services.postgres import Postgres
from services.talker import Talker

from hub.collector.intake import Answer, StateChange
from hub.collector.patience import Patience
from hub.collector.persist import persist
from hub.settings import DatabaseAt
from hub.store import Arrival, Database, open_database
from hub.store.schema import boot
from node.messages import BootLedger, Reply, Seqs, State

GOOD, BAD = "00000000000000aa", "0123456789abcdef\n"


@pytest.fixture
def strict(postgres: Postgres) -> Iterator[Database]:
    """Open an empty database of the kind that refuses."""
    opened = open_database(postgres.fresh_database())
    opened.create_tables()
    yield opened
    opened.close()


@pytest.fixture
def patience() -> Patience:
    """Return a patience that nobody stops."""
    return Patience(DatabaseAt(), threading.Event())


def birth(node: str, *runs: str) -> StateChange:
    ledgers = tuple(BootLedger(boot=run, last_seq=7) for run in runs)
    state = State(online=True, ledgers=ledgers)
    return StateChange(Talker("mqtt://127.0.0.1:1", node).envelope("state", {}, 0), state)


def noted(database: Database) -> dict[str, set[str]]:
    """Return the runs that are known of each node."""
    found: dict[str, set[str]] = {}
    with database.transaction() as connection:
        for node, run in connection.execute(sa.select(boot.c.node, boot.c.boot)):
            found.setdefault(node, set()).add(run)
    return found


def test_ledgers_that_are_refused_are_passed_over(
    strict: Database, patience: Patience, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        persist(strict, patience, [], [birth("adam-malik", BAD), birth("pasar-horas", GOOD)])
    assert noted(strict) == {"pasar-horas": {GOOD}}
    assert "given up: ledgers of adam-malik" in caplog.text


def test_an_answer_that_is_refused_is_passed_over(
    strict: Database, patience: Patience, caplog: pytest.LogCaptureFixture
) -> None:
    reply = Reply(id="1", ok=True, boot="a\0b", gone=(Seqs(first=1, last=2),))
    node = Talker("mqtt://127.0.0.1:1", "pasar-horas", boot=GOOD)
    measured = Arrival(node.envelope("wifi", {}, 1), datetime.now(UTC))
    with caplog.at_level(logging.ERROR):
        assert persist(strict, patience, [measured], [Answer("adam-malik", reply)]) == 1
    assert "given up: what adam-malik no longer holds" in caplog.text


def test_of_very_many_runs_the_newest_of_the_last_birth_are_noted(
    database: Database, patience: Patience
) -> None:
    many = [f"{run:016x}" for run in range(5000)]
    births = [birth("adam-malik", *many[:-1]), birth("adam-malik", *many)]
    persist(database, patience, [], [*births, birth("pasar-horas", GOOD)])
    known = noted(database)
    assert known["pasar-horas"] == {GOOD}
    assert known["adam-malik"] == set(many[-200:])
