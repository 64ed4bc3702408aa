"""Decides from how the nodes stand which may be begun next, and when the rollout has to stop; pure.

A node that vanishes is a failure. One that was away before anything was done to it stays pending.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from msgspec import Struct

from provisioning.update.errors import PlanError
from provisioning.update.plan import Place, Plan

State = Literal[
    "pending", "in-progress", "success", "failed", "unreachable", "rolled-back", "cancelled"
]
STATES: tuple[State, ...] = get_args(State)
FAILURES: frozenset[State] = frozenset({"failed", "unreachable", "rolled-back"})
# A site with such a node is left alone: its neighbour must not go down as well.
_DOWN: frozenset[State] = frozenset({"in-progress", "failed", "unreachable"})
_OFFLINE = "offline before: "


class Entry(Struct, frozen=True):
    """How one node stands; `away` says that it was offline before anything was done to it.

    `had` names what of it worked at its end (see Standing), to be found again at a second look.
    `told` is the mark that the node had as this rollout told it to change: another after it was
    tried. None: it was told nothing yet, and what it went back from was of an earlier rollout.
    """

    state: State = "pending"
    message: str = ""
    changed: bool = False
    away: bool = False
    had: tuple[str, ...] = ()
    told: str | None = None


def offline(why: Exception) -> Entry:
    """Return how a node stands that does not answer, and to which nothing was done yet."""
    return Entry("pending", f"{_OFFLINE}{why}", away=True)


def not_met_again(away: Entry) -> Entry:
    """Return how a node ended that is `away`, though this rollout had begun it."""
    why = away.message.removeprefix(_OFFLINE)
    return Entry("unreachable", f"not met again after the rollout was cut off: {why}")


class Limits(Struct, frozen=True):
    """How many nodes are under way at once, and how many failures do not stop the rollout.

    Raises PlanError.
    """

    parallel: int = 16
    tolerated: int = 0

    def __post_init__(self) -> None:
        """Refuse what nothing could be done with."""
        if self.parallel < 1:
            raise PlanError(f"--parallel {self.parallel}: at least one node has to be under way")
        if self.tolerated < 0:
            raise PlanError(f"--tolerate {self.tolerated}: 0 or more failures")


Entries = Mapping[str, Entry]


def startable(plan: Plan, entries: Entries, limits: Limits) -> list[Place]:
    """Return the nodes to begin now."""
    if too_many_failures(entries, limits):
        return []
    at_bench = not _bench_is_done(plan, entries)
    row = [place for place in plan.order if place.bench == at_bench]
    counts = _counts(entries[place.name] for place in row)
    quota = len(row) if at_bench else _street_quota(plan, current_wave(plan, entries))
    room = min(
        quota - counts["success"] - counts["in-progress"],
        limits.parallel - _counts(entries.values())["in-progress"],
    )
    taken = {place.neighbourhood for place in plan.order if entries[place.name].state in _DOWN}
    chosen: list[Place] = []
    for place in row:
        if len(chosen) >= room:
            break
        entry = entries[place.name]
        if entry.state == "pending" and not entry.away and place.neighbourhood not in taken:
            chosen.append(place)
            taken.add(place.neighbourhood)
    return chosen


def current_wave(plan: Plan, entries: Entries) -> int:
    """Return the number of the first wave that has not succeeded; the last when all have."""
    if not _bench_is_done(plan, entries):
        return 0
    street = (entries[place.name] for place in plan.order if not place.bench)
    successes = _counts(street)["success"]
    for number in range(len(plan.waves)):
        if successes < _street_quota(plan, number):
            return number
    return len(plan.waves) - 1


def bench_is_missed(plan: Plan, entries: Entries) -> bool:
    """Tell whether the bench could not prove the release, so that the street must not get it."""
    idle = not _counts(entries.values())["in-progress"]
    return idle and not _bench_is_done(plan, entries)


def too_many_failures(entries: Entries, limits: Limits) -> bool:
    """Tell whether the release has done enough harm."""
    return sum(entry.state in FAILURES for entry in entries.values()) > limits.tolerated


def is_over(plan: Plan, entries: Entries, limits: Limits) -> bool:
    """Tell whether nothing is under way and nothing can be begun."""
    return not _counts(entries.values())["in-progress"] and not startable(plan, entries, limits)


def cancelled(entries: Entries, reason: str) -> dict[str, Entry]:
    """Return what becomes of the nodes that were not begun when the rollout stops."""
    return {
        name: Entry("cancelled", reason)
        for name, entry in entries.items()
        if entry.state == "pending"
    }


def _bench_is_done(plan: Plan, entries: Entries) -> bool:
    """Tell whether all of the bench was tried and some of it proved the release.

    No node of the street takes the place of one on the bench, though that be away or have failed.
    """
    states = [entries[place.name].state for place in plan.order if place.bench]
    tried = all(state == "success" or state in FAILURES for state in states)
    return tried and (not states or "success" in states)


def _street_quota(plan: Plan, wave: int) -> int:
    """Return how many nodes that stand on no bench end the wave."""
    return plan.waves[wave].quota - sum(place.bench for place in plan.order)


def _counts(entries: Iterable[Entry]) -> Counter[State]:
    return Counter(entry.state for entry in entries)
