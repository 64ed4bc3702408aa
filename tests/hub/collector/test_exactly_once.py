"""Stored once and none lost, while collector, broker and database are killed under load."""

import random
import threading
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa
from services.collector import Collector
from services.mosquitto import Mosquitto
from services.nats import NatsCluster, nats_program
from services.postgres import Postgres
from services.talker import Talker
from services.waiting import until

from hub.store import Database, holes, incomplete_boots, open_database
from hub.store.schema import boot, measurement

MESSAGES = 1500


def counts(database: Database) -> tuple[int, int]:
    """Return rows stored, and what the boots' own counters say."""
    with database.transaction() as connection:
        rows = connection.scalar(sa.select(sa.func.count()).select_from(measurement))
        counted = connection.scalar(sa.select(sa.func.sum(boot.c.stored_count)))
    return int(rows or 0), int(counted or 0)


def speak(node: Talker, amount: int, done: threading.Event) -> None:
    """Measure steadily; some twice, some late, some never sent at all."""
    dice = random.Random(node.name)  # noqa: S311 - the same walk every time
    held: list[int] = []
    for _ in range(amount):
        what = dice.random()
        seq = node.measure(send=what > 0.1)
        if what > 0.9:
            node.publish("wifi", node.outbox[seq])
        elif what < 0.05:
            held.append(seq)
        if len(held) > 5:
            for late in reversed(held):
                node.publish("wifi", node.outbox[late])
            held.clear()
        threading.Event().wait(0.002)
    done.set()


def assert_all_there(database: Database, nodes: list[Talker]) -> None:
    expected = Counter({node.name: len(node.outbox) for node in nodes})
    total = sum(expected.values())
    until(lambda: counts(database)[0] >= total, f"{total} measurements", seconds=100)
    assert counts(database) == (total, total)
    assert not incomplete_boots(database, [*expected], count_max=10)
    assert all(holes(database, node.name) == [] for node in nodes)


def test_collector_killed_under_load(
    tmp_path: Path, mosquitto: Mosquitto, database: Database, database_url: str
) -> None:
    collector = Collector(tmp_path / "hub", brokers=[mosquitto.url], database=database_url)
    with collector, Talker(mosquitto.url, "adam-malik") as one:
        one.birth()
        done = threading.Event()
        speaker = threading.Thread(target=speak, args=(one, MESSAGES, done))
        speaker.start()
        while not done.wait(0.9):
            collector.kill()
            collector.start()
        speaker.join()
        one.birth()
        assert_all_there(database, [one])
        assert collector.stop() == 0
    assert "Traceback" not in collector.log.read_text()


def test_database_killed_under_load(
    tmp_path: Path, mosquitto: Mosquitto, postgres: Postgres
) -> None:
    url = postgres.fresh_database()
    database = open_database(url)
    database.create_tables()
    database.close()
    collector = Collector(tmp_path / "hub", brokers=[mosquitto.url], database=url)
    with collector, Talker(mosquitto.url, "pasar-horas") as node:
        node.birth()
        done = threading.Event()
        speaker = threading.Thread(target=speak, args=(node, MESSAGES, done))
        speaker.start()
        for _ in range(2):
            done.wait(1.0)
            postgres.kill()
            postgres.start()
        speaker.join()
        node.birth()
        database = open_database(url)
        assert_all_there(database, [node])
        database.close()
        assert collector.stop() == 0
    log = collector.log.read_text()
    assert "Traceback" not in log
    assert 1 <= log.count("nothing is acknowledged until it works") <= 10


def test_the_broker_may_lose_everything(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Without persistence a killed broker forgets sessions, queues and retained messages."""
    url = f"sqlite:///{tmp_path}/hub.db"
    database = open_database(url)
    database.create_tables()
    collector = Collector(tmp_path / "hub", brokers=[mosquitto.url], database=url)
    with collector, Talker(mosquitto.url, "taman-bunga") as node:
        node.birth()
        done = threading.Event()
        speaker = threading.Thread(target=speak, args=(node, MESSAGES, done))
        speaker.start()
        done.wait(1.0)
        mosquitto.kill()
        mosquitto.start()
        speaker.join()
        node.birth()
        assert_all_there(database, [node])
        assert collector.stop() == 0
    database.close()
    assert "Traceback" not in collector.log.read_text()


@pytest.mark.timeout(240)
def test_nats_cluster_that_loses_a_member(tmp_path: Path) -> None:
    if nats_program() is None:
        pytest.skip("NATS is not installed: apt-get install nats-server")
    url = f"sqlite:///{tmp_path}/hub.db"
    database = open_database(url)
    database.create_tables()
    with NatsCluster(tmp_path / "nats") as cluster:
        hub_side = [cluster.urls[0], cluster.urls[1]]
        collector = Collector(tmp_path / "hub", brokers=hub_side, database=url)
        with collector, Talker(cluster.urls[2], "taman-bunga") as node:
            node.birth()
            done = threading.Event()
            speaker = threading.Thread(target=speak, args=(node, MESSAGES // 2, done))
            speaker.start()
            done.wait(1.0)
            cluster.kill(0)  # the very member that the collector talks to
            speaker.join()
            collector.kill()
            collector.start()
            node.birth()
            assert_all_there(database, [node])
            cluster.start(0)
            node.measure()
            assert_all_there(database, [node])
            assert collector.stop() == 0
    database.close()
    assert "Traceback" not in collector.log.read_text()
