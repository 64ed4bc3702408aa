"""Rolls a release out to a whole fleet, and measures what that costs the controller."""

import resource
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from services.node_fleet import NodeFleet
from services.spent import Meter, Spent

from provisioning.update.bundles import Catalog
from provisioning.update.engine import Engine
from provisioning.update.link import Trial, connected
from provisioning.update.plan import SHARES, Place, make_plan
from provisioning.update.record import Head, Record
from provisioning.update.rollout import Limits
from provisioning.update.turn import Orders, update_node


@dataclass(frozen=True, slots=True)
class Cost:
    """How the nodes ended, and what it took; the controller is this process."""

    states: Counter[str]
    spent: Spent
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
        meter = Meter(resource.RUSAGE_SELF)
        Engine(
            record,
            plan,
            head.limits,
            lambda place: update_node(place, lambda p: connected(ways[p.name]), orders),
        ).run()
        return Cost(
            states=Counter(entry.state for entry in record.entries.values()),
            spent=meter.read(),
            rss_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        )
