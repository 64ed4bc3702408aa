"""When old measurements are deleted."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from msgspec import structs
from services.talker import Talker

from hub.collector.forgetting import Forgetting
from hub.store import Arrival, Database, store
from hub.store.schema import measurement

DAY_SECONDS = 86_400.0


TALKER = Talker("mqtt://127.0.0.1:1", "pasar-horas", boot="00000000000000aa")


def put(database: Database, seq: int, *, days_ago: float) -> None:
    envelope = TALKER.envelope("wifi", {}, seq)
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
    run(forgetting, 10.0)
    assert sorted(kept(database)) == [1, 2], "no node has told the time yet"
    forgetting.heard([TALKER.envelope("wifi", {}, 9)])
    run(forgetting, 100.0)
    assert kept(database) == [2]
    put(database, 3, days_ago=12)
    run(forgetting, DAY_SECONDS)
    assert sorted(kept(database)) == [2, 3]
    run(forgetting, 110.0 + DAY_SECONDS)
    assert kept(database) == [2]


def test_nothing_is_deleted_unless_the_settings_say_so(database: Database) -> None:
    put(database, 1, days_ago=10_000)
    forgetting = Forgetting(database, keep_days=0)
    forgetting.heard([TALKER.envelope("wifi", {}, 9)])
    run(forgetting, 100.0)
    assert kept(database) == [1]


def test_a_clock_of_the_hub_that_is_far_ahead_deletes_nothing(database: Database) -> None:
    """By the nodes' clocks it is twenty days earlier, and those that are not set tell nothing."""
    put(database, 1, days_ago=11)
    forgetting = Forgetting(database, keep_days=10)
    now = TALKER.envelope("wifi", {}, 9)
    forgetting.heard([structs.replace(now, at=now.at - timedelta(days=20), clock_synced=True)])
    forgetting.heard([structs.replace(now, clock_synced=False)])
    run(forgetting, 100.0)
    assert kept(database) == [1]


def test_a_node_that_tells_an_impossible_time_costs_nothing(database: Database) -> None:
    put(database, 1, days_ago=11)
    forgetting = Forgetting(database, keep_days=10)
    first_day = datetime(1, 1, 1, tzinfo=UTC)
    said = structs.replace(TALKER.envelope("wifi", {}, 9), at=first_day, clock_synced=True)
    forgetting.heard([said])
    run(forgetting, 100.0)
    assert kept(database) == [1]
