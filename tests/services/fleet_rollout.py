"""Rolls a release out to a whole fleet, and measures what that costs the controller."""

import resource
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from services.node_fleet import NodeFleet

from provisioning.update.bundles import Catalog
from provisioning.update.engine import Engine
from provisioning.update.link import Trial, connected
from provisioning.update.plan import SHARES, Place, make_plan
from provisioning.update.record import Head, Record
from provisioning.update.rollout import Limits
from provisioning.update.turn import Orders, update_node


@dataclass(frozen=True, slots=True)
class Cost:
    """How the nodes ended, and the controller's time, its CPU a node and its greatest size."""

    states: Counter[str]
    wall_s: float
    cpu_s_per_node: float
    rss_mib: float


def measured_rollout(
    fleet: NodeFleet,
    catalog: Catalog,
    file: Path,
    *,
    parallel: int,
    shares: tuple[float, ...] = SHARES,
) -> Cost:
    """Roll `catalog` out to every node, with its record in `file`; no shares: two waves only."""
    ways = fleet.ways()
    orders = Orders(catalog=catalog, trial=Trial(confirm_within_s=300, soak_s=1))
    plan = make_plan([Place(name) for name in fleet.nodes], seed="x", shares=shares)
    head = Head(releases=catalog.releases, plan=plan, limits=Limits(parallel=parallel))
    with Record(file) as record:
        record.begin(head)
        begun_s, before_s = time.monotonic(), cpu_s(resource.RUSAGE_SELF)
        Engine(
            record,
            plan,
            head.limits,
            lambda place: update_node(place, lambda p: connected(ways[p.name]), orders),
        ).run()
        return Cost(
            states=Counter(entry.state for entry in record.entries.values()),
            wall_s=time.monotonic() - begun_s,
            cpu_s_per_node=(cpu_s(resource.RUSAGE_SELF) - before_s) / len(ways),
            rss_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        )


def cpu_s(who: int) -> float:
    """Return the CPU time that `who` (getrusage(2)) used so far."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime
