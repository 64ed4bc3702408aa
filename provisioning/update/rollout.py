"""Decides from how the nodes stand which may be begun next, and when the rollout has to stop; pure.

A node that vanishes is a failure. One that was away before anything was done to it stays pending.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Literal, get_args

from msgspec import Struct

from provisioning.update.plan import Place, Plan

State = Literal[
    "pending", "in-progress", "success", "failed", "unreachable", "rolled-back", "cancelled"
]
STATES: tuple[State, ...] = get_args(State)
FAILURES: frozenset[State] = frozenset({"failed", "unreachable", "rolled-back"})
# A site with such a node is left alone: its neighbour must not go down as well.
_DOWN: frozenset[State] = frozenset({"in-progress", "failed", "unreachable"})


class Entry(Struct, frozen=True):
    """How one node stands; `away` says that it was offline before anything was done to it."""

    state: State = "pending"
    message: str = ""
    changed: bool = False
    away: bool = False


class Limits(Struct, frozen=True):
    """How many nodes are under way at once, and how many failures do not stop the rollout."""

    parallel: int = 16
    tolerated: int = 0


Entries = Mapping[str, Entry]


def startable(plan: Plan, entries: Entries, limits: Limits) -> list[Place]:
    """Return the nodes to begin now."""
    if too_many_failures(entries, limits):
        return []
    wave = current_wave(plan, entries)
    counts = _counts(entries)
    room = min(
        plan.waves[wave].quota - counts["success"] - counts["in-progress"],
        limits.parallel - counts["in-progress"],
    )
    taken = {place.neighbourhood for place in plan.order if entries[place.name].state in _DOWN}
    chosen: list[Place] = []
    for place in plan.order:
        if len(chosen) >= room:
            break
        entry = entries[place.name]
        if entry.state == "pending" and not entry.away and place.neighbourhood not in taken:
            chosen.append(place)
            taken.add(place.neighbourhood)
    return chosen


def current_wave(plan: Plan, entries: Entries) -> int:
    """Return the number of the first wave that has not succeeded; the last when all have."""
    successes = _counts(entries)["success"]
    for number, wave in enumerate(plan.waves):
        if successes < wave.quota:
            return number
    return len(plan.waves) - 1


def too_many_failures(entries: Entries, limits: Limits) -> bool:
    """Tell whether the release has done enough harm."""
    return sum(entry.state in FAILURES for entry in entries.values()) > limits.tolerated


def is_over(plan: Plan, entries: Entries, limits: Limits) -> bool:
    """Tell whether nothing is under way and nothing can be begun."""
    return not _counts(entries)["in-progress"] and not startable(plan, entries, limits)


def cancelled(entries: Entries, reason: str) -> dict[str, Entry]:
    """Return what becomes of the nodes that were not begun when the rollout stops."""
    return {
        name: Entry("cancelled", reason)
        for name, entry in entries.items()
        if entry.state == "pending"
    }


def _counts(entries: Entries) -> Counter[State]:
    return Counter(entry.state for entry in entries.values())
