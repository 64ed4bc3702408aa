"""When old measurements are deleted."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from services.talker import Talker

from hub.collector.forgetting import Forgetting
from hub.store import Arrival, Database, store
from hub.store.schema import measurement

DAY_SECONDS = 86_400.0


def put(database: Database, seq: int, *, days_ago: float) -> None:
    boot = "00000000000000aa"
    envelope = Talker("mqtt://127.0.0.1:1", "pasar-horas", boot=boot).envelope("wifi", {}, seq)
    store(database, [Arrival(envelope, datetime.now(UTC) - timedelta(days=days_ago))])


def kept(database: Database) -> list[int]:
    with database.transaction() as connection:
        return list(connection.scalars(sa.select(measurement.c.seq)))


def run(forgetting: Forgetting, since: float) -> None:
    """Call it for ten seconds as the collector does."""
    for fifth in range(50):
        forgetting.tick(since + fifth / 5)


def test_a_pass_a_day_deletes_what_is_too_old(database: Database) -> None:
    put(database, 1, days_ago=11)
    put(database, 2, days_ago=9)
    forgetting = Forgetting(database, keep_days=10)
    run(forgetting, 100.0)
    assert kept(database) == [2]
    put(database, 3, days_ago=12)
    run(forgetting, DAY_SECONDS)
    assert sorted(kept(database)) == [2, 3]
    run(forgetting, 110.0 + DAY_SECONDS)
    assert kept(database) == [2]


def test_nothing_is_deleted_unless_the_settings_say_so(database: Database) -> None:
    put(database, 1, days_ago=10_000)
    run(Forgetting(database, keep_days=0), 100.0)
    assert kept(database) == [1]
