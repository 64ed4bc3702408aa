"""Nothing is lost: agents, broker, collector and database are killed, and every message arrives."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from integration.chaos import (
    Verdict,
    Victim,
    agent_victims,
    collector_victim,
    judge,
    kill_at_random,
    logs,
)
from services.agent import AgentProcess
from services.collector import Collector
from services.mosquitto import Mosquitto, mosquitto_program
from services.nats import NatsCluster, nats_program
from services.postgres import Postgres, postgres_bin
from services.waiting import until

NODES = ("adam-malik", "pasar-horas", "taman-bunga")
INTERVAL_SECONDS = 0.05
SHORT_KILLS, LONG_KILLS = 12, 200


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a directory that the database's own user may enter."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


def run(
    folder: Path, brokers: list[str], broker_victims: list[Victim], *, kills: int, seed: int
) -> Verdict:
    """Put the fleet under load, kill, let it recover, and judge."""
    with ExitStack() as stack:
        database = stack.enter_context(Postgres(folder / "postgres"))
        collector = stack.enter_context(
            Collector(folder / "hub", brokers=brokers, database=database.url)
        )
        agents = [
            stack.enter_context(
                AgentProcess(folder / name, name, brokers, interval_seconds=INTERVAL_SECONDS)
            )
            for name in NODES
        ]
        until(lambda: all((a.state / "outbox.db").exists() for a in agents), "the agents' start")
        victims = [
            *agent_victims(agents),
            *broker_victims,
            collector_victim(collector),
            Victim("database", database.kill, database.start),
        ]
        done = kill_at_random(victims, kills, seed)
        verdict = judge(agents, database.url, patience_seconds=180)
        verdict.kills = done
    print(f"\n{verdict}")  # noqa: T201 - a benchmark's figures
    return verdict


def check(verdict: Verdict, folder: Path) -> None:
    assert verdict.committed > 100, "there was no load"
    bad = (verdict.lost, verdict.twice, verdict.invented, verdict.holes_in_outbox)
    assert bad == (0, 0, 0, 0), f"{verdict}\n{logs(folder)}"


@pytest.mark.skipif(mosquitto_program() is None, reason="Mosquitto is not installed")
@pytest.mark.skipif(postgres_bin() is None, reason="PostgreSQL is not installed")
class TestMosquitto:
    """One broker, which forgets everything when it is killed."""

    def kill(self, folder: Path, kills: int, seed: int) -> None:
        with Mosquitto(folder / "broker") as broker:
            victim = Victim("broker", broker.kill, broker.start)
            verdict = run(folder, [broker.url], [victim], kills=kills, seed=seed)
        check(verdict, folder)

    @pytest.mark.timeout(300)
    def test_a_few_kills(self, folder: Path) -> None:
        self.kill(folder, SHORT_KILLS, seed=1)

    @pytest.mark.long
    def test_two_hundred_kills(self, folder: Path) -> None:
        self.kill(folder, LONG_KILLS, seed=2)


@pytest.mark.skipif(nats_program() is None, reason="nats-server is not installed")
@pytest.mark.skipif(postgres_bin() is None, reason="PostgreSQL is not installed")
class TestNatsCluster:
    """Three servers of which one at a time is lost."""

    def kill(self, folder: Path, kills: int, seed: int) -> None:
        with NatsCluster(folder / "broker") as cluster:
            turn = [0]

            def revive() -> None:
                cluster.start(turn[0] % 3)
                turn[0] += 1
                # Two of three must agree: the next server dies only when this one is back.
                cluster.wait_until_serving()

            victim = Victim("broker", lambda: cluster.kill(turn[0] % 3), revive)
            verdict = run(folder, cluster.urls, [victim], kills=kills, seed=seed)
        check(verdict, folder)

    @pytest.mark.long
    @pytest.mark.timeout(300)
    def test_a_few_kills(self, folder: Path) -> None:
        self.kill(folder, SHORT_KILLS, seed=3)

    @pytest.mark.long
    def test_two_hundred_kills(self, folder: Path) -> None:
        self.kill(folder, LONG_KILLS, seed=4)
