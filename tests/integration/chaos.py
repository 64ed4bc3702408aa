"""Kills programs at random moments under load, and then counts what is missing."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa
from services.agent import AgentProcess
from services.collector import Collector
from services.waiting import until

from hub.store.schema import measurement


@dataclass(frozen=True)
class Victim:
    """Something that can be killed and comes back."""

    name: str
    kill: Callable[[], None]
    revive: Callable[[], None]


@dataclass
class Verdict:
    """What a run of kills ended with."""

    kills: dict[str, int] = field(default_factory=dict)
    boots: int = 0
    committed: int = 0
    stored: int = 0
    lost: int = 0
    invented: int = 0
    twice: int = 0
    holes_in_outbox: int = 0
    recovery_seconds: float = 0.0

    def __str__(self) -> str:
        kills = ", ".join(f"{name} {count}" for name, count in sorted(self.kills.items()))
        return (
            f"kills: {sum(self.kills.values())} ({kills}); runs of agents: {self.boots}; "
            f"committed {self.committed}, stored {self.stored}; lost {self.lost}, "
            f"stored twice {self.twice}, invented {self.invented}, "
            f"holes in an outbox {self.holes_in_outbox}; "
            f"recovered in {self.recovery_seconds:.1f} s"
        )


def kill_at_random(victims: Sequence[Victim], count: int, seed: int) -> dict[str, int]:
    """Kill `count` times at random moments; return how often each was the victim."""
    dice = random.Random(seed)  # noqa: S311 - moments to kill, not secrets
    pause = threading.Event()
    kills: dict[str, int] = {}
    for _ in range(count):
        pause.wait(dice.uniform(0.02, 0.6))
        victim = dice.choice(victims)
        victim.kill()
        kills[victim.name] = kills.get(victim.name, 0) + 1
        pause.wait(dice.uniform(0, 0.5))
        victim.revive()
    return kills


def judge(agents: Sequence[AgentProcess], database: str, *, patience_seconds: float) -> Verdict:
    """Wait until the hub has all that the outboxes hold now, and compare one by one."""
    truth = {agent.name: agent.committed() for agent in agents}
    wanted = {
        (name, boot, seq)
        for name, boots in truth.items()
        for boot, ranges in boots.items()
        for first, last in ranges
        for seq in range(first, last + 1)
    }
    engine = sa.create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
    columns = (measurement.c.node, measurement.c.boot, measurement.c.seq)
    start_mono = time.monotonic()

    def rows() -> list[tuple[str, str, int]]:
        with engine.connect() as connection:
            return [(row[0], row[1], row[2]) for row in connection.execute(sa.select(*columns))]

    verdict = Verdict()
    try:
        until(lambda: wanted <= set(rows()), "everything stored", seconds=patience_seconds)
    except TimeoutError:
        verdict.lost = len(wanted - set(rows()))
    verdict.recovery_seconds = time.monotonic() - start_mono
    stored = rows()
    engine.dispose()
    late = {agent.name: agent.committed() for agent in agents}
    verdict.boots = sum(len(boots) for boots in truth.values())
    verdict.committed = len(wanted)
    verdict.stored = len(wanted & set(stored))
    verdict.twice = len(stored) - len(set(stored))
    verdict.invented = sum(not _held(late, *row) for row in stored)
    verdict.holes_in_outbox = sum(
        _holes(ranges) for boots in truth.values() for ranges in boots.values()
    )
    return verdict


def _held(
    truth: dict[str, dict[str, list[tuple[int, int]]]], node: str, boot: str, seq: int
) -> bool:
    return any(first <= seq <= last for first, last in truth[node].get(boot, ()))


def _holes(ranges: list[tuple[int, int]]) -> int:
    """Count the numbers that are missing between 1 and the last one."""
    return ranges[-1][1] - sum(last - first + 1 for first, last in ranges)


def agent_victims(agents: Sequence[AgentProcess]) -> list[Victim]:
    """Return the agents as victims."""
    return [Victim("agent", agent.kill, agent.start) for agent in agents]


def collector_victim(collector: Collector) -> Victim:
    """Return the collector as a victim."""
    return Victim("collector", collector.kill, collector.start)


def logs(folder: Path) -> str:
    """Return the ends of all logs, for a person who wants to know why."""
    ends = []
    for file in sorted(folder.rglob("*.log")):
        lines = file.read_text(errors="replace").splitlines()[-15:]
        ends.append(f"--- {file.relative_to(folder)}\n" + "\n".join(lines))
    return "\n".join(ends)
