"""Plans a rollout: which nodes come first, and how many may have the release before more follow.

Pure, and the same plan for the same fleet and release: it is printed before anything is touched.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from msgspec import Struct

from provisioning.update.errors import PlanError

SHARES = (0.01, 0.05, 0.25)


class Place(Struct, frozen=True):
    """A node, and the site that it shares with its neighbours (its own when it has none)."""

    name: str
    site: str = ""
    bench: bool = False

    @property
    def neighbourhood(self) -> str:
        """What never has two nodes under way at once."""
        return f"site {self.site}" if self.site else f"node {self.name}"


class Wave(Struct, frozen=True):
    """A step of the rollout: it is over once `quota` nodes, from the beginning on, succeeded."""

    name: str
    quota: int


class Plan(Struct, frozen=True):
    """The nodes in the order in which they are begun, and the waves over them."""

    order: tuple[Place, ...]
    waves: tuple[Wave, ...]


def make_plan(places: Iterable[Place], *, seed: str, shares: Sequence[float] = SHARES) -> Plan:
    """Return bench first, then one node, then `shares` of the fleet, then the rest.

    `seed` (the release's hash) draws who is early, so that it is not always the same street. Raises
    PlanError for no node at all, or one named twice.
    """
    known = list(places)
    if len({each.name for each in known}) != len(known):
        raise PlanError("a node stands twice in the rollout; name each once")
    if not known:
        raise PlanError("no node to update; see `simpul nodes`")
    bench = [each for each in known if each.bench]
    street = [each for each in known if not each.bench]
    order = (*_mixed(bench, seed), *_mixed(street, seed))
    sizes = [("1 node", min(1, len(street)))]
    sizes += [(f"{share:.0%}", math.ceil(share * len(street))) for share in sorted(shares)]
    sizes += [("rest", len(street))]
    waves = [Wave("bench", len(bench))] if bench else []
    for name, size in sizes:
        quota = len(bench) + size
        if quota > (waves[-1].quota if waves else 0):
            waves.append(Wave(name, quota))
    return Plan(order, tuple(waves))


def _mixed(places: Iterable[Place], seed: str) -> list[Place]:
    """Return the places so that neighbours stand far apart."""
    sites: dict[str, list[Place]] = defaultdict(list)
    for each in sorted(places, key=lambda place: _drawn(seed, place.name)):
        sites[each.neighbourhood].append(each)
    rounds = max((len(each) for each in sites.values()), default=0)
    return [
        sites[site][number]
        for number in range(rounds)
        for site in sorted(sites, key=lambda name: _drawn(seed, name))
        if number < len(sites[site])
    ]


def _drawn(seed: str, name: str) -> bytes:
    return hashlib.sha256(f"{seed} {name}".encode()).digest()
