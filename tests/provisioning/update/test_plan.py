"""A rollout begins with few, keeps neighbours apart, and stops before a bad release spreads."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provisioning.update.errors import PlanError
from provisioning.update.plan import Place, Plan, make_plan
from provisioning.update.rollout import (
    FAILURES,
    Entry,
    Limits,
    State,
    bench_is_missed,
    cancelled,
    current_wave,
    is_over,
    startable,
    too_many_failures,
)

SITES = st.sampled_from(["", "pasar", "simpang", "taman", "stasiun"])
FLEETS = st.lists(st.tuples(SITES, st.booleans()), min_size=1, max_size=60).map(
    lambda drawn: [
        Place(f"node-{number}", site, bench and number % 7 == 0)
        for number, (site, bench) in enumerate(drawn)
    ]
)
ENDS: list[State] = ["success", "failed", "unreachable", "rolled-back"]


def fresh(plan: Plan) -> dict[str, Entry]:
    return {place.name: Entry() for place in plan.order}


@given(FLEETS, st.text(max_size=5))
def test_a_plan_holds_every_node_once_and_grows(fleet: list[Place], seed: str) -> None:
    plan = make_plan(fleet, seed=seed)
    assert sorted(place.name for place in plan.order) == sorted(place.name for place in fleet)
    quotas = [wave.quota for wave in plan.waves]
    assert quotas == sorted(set(quotas))
    assert quotas[-1] == len(fleet)
    bench = sum(place.bench for place in fleet)
    assert all(place.bench for place in plan.order[:bench])
    street = len(fleet) - bench
    named = {wave.name: wave.quota - bench for wave in plan.waves}
    if street:
        assert named.get("1 node", 1) == 1
        assert named.get("25%", 0) in {0, math.ceil(street / 4)}
    assert plan == make_plan(reversed(fleet), seed=seed)


def test_five_hundred_nodes() -> None:
    plan = make_plan([Place(f"n{n}", f"s{n // 2}") for n in range(500)], seed="x")
    assert [(wave.name, wave.quota) for wave in plan.waves] == [
        ("1 node", 1),
        ("1%", 5),
        ("5%", 25),
        ("25%", 125),
        ("rest", 500),
    ]
    # Of two neighbours one is in the first half, the other in the second.
    assert len({place.site for place in plan.order[:250]}) == 250
    assert make_plan(plan.order, seed="y").order[0] != plan.order[0]


def test_what_cannot_be_planned() -> None:
    with pytest.raises(PlanError, match="no node to update"):
        make_plan([], seed="x")
    with pytest.raises(PlanError, match="stands twice"):
        make_plan([Place("a"), Place("a")], seed="x")


@settings(deadline=None)
@given(FLEETS, st.integers(1, 20), st.integers(0, 3), st.data())
def test_any_course_of_events(
    fleet: list[Place], parallel: int, tolerated: int, data: st.DataObject
) -> None:
    plan = make_plan(fleet, seed="x")
    limits = Limits(parallel=parallel, tolerated=tolerated)
    entries = fresh(plan)
    began: list[str] = []
    away = {place.name for place in fleet if data.draw(st.integers(0, 4)) == 0}
    while True:
        for place in startable(plan, entries, limits):
            assert entries[place.name] == Entry(), "a node was begun twice"
            entries[place.name] = Entry("in-progress")
            began.append(place.name)
        under_way = [place for place in fleet if entries[place.name].state == "in-progress"]
        assert len(under_way) <= parallel
        assert len({place.neighbourhood for place in under_way}) == len(under_way)
        touched = sum(entry.state not in {"pending", "cancelled"} for entry in entries.values())
        failures = sum(entry.state in FAILURES for entry in entries.values())
        # The bench first, whatever becomes of it, and one node alone before any other.
        street = [place for place in under_way if not place.bench]
        assert not street or all(
            entries[place.name].state in {"success", *FAILURES} for place in fleet if place.bench
        )
        proved = any(entries[place.name].state == "success" for place in fleet if not place.bench)
        assert len(street) <= 1 or proved
        # A bad release has reached no more than its wave, and the failures that were allowed.
        assert touched <= plan.waves[current_wave(plan, entries)].quota + failures
        if not under_way:
            break
        ended = data.draw(st.sampled_from(under_way)).name
        entries[ended] = (
            Entry("pending", away=True)
            if ended in away
            else Entry(data.draw(st.sampled_from([*ENDS, "success", "success", "success"])))
        )
    assert is_over(plan, entries, limits)
    assert len(began) == len(set(began))
    pending = [place for place in fleet if entries[place.name] == Entry()]
    if bench_is_missed(plan, entries):
        assert {*began} <= {place.name for place in fleet if place.bench}
    elif not too_many_failures(entries, limits):
        down = {
            place.neighbourhood
            for place in fleet
            if entries[place.name].state in {"failed", "unreachable"}
        }
        assert {place.neighbourhood for place in pending} <= down
    gone = cancelled(entries, "stopped")
    assert {*gone} == {name for name, entry in entries.items() if entry.state == "pending"}


@pytest.mark.parametrize("end", sorted(FAILURES))
def test_a_release_that_is_bad_everywhere_reaches_one_node(end: State) -> None:
    plan = make_plan([Place(f"n{n}", f"s{n}") for n in range(500)], seed="x")
    entries, limits = fresh(plan), Limits(parallel=50)
    (canary,) = startable(plan, entries, limits)
    entries[canary.name] = Entry(end)
    assert startable(plan, entries, limits) == []
    assert too_many_failures(entries, limits)
    assert len(cancelled(entries, "stopped")) == 499


def test_an_absent_canary_proves_nothing_and_another_is_taken() -> None:
    plan = make_plan([Place(f"n{n}") for n in range(10)], seed="x")
    entries, limits = fresh(plan), Limits()
    (canary,) = startable(plan, entries, limits)
    entries[canary.name] = Entry("pending", away=True)
    (another,) = startable(plan, entries, limits)
    assert another != canary
    assert current_wave(plan, entries) == 0


BENCH = [Place(f"b{n}", bench=True) for n in range(4)]
STREET = [Place(f"s{n}") for n in range(100)]


@pytest.mark.parametrize("ends", [["away"] * 4, ["away", *["success"] * 3]])
def test_no_street_stands_in_for_a_bench_that_is_away(ends: list[str]) -> None:
    plan = make_plan([*BENCH, *STREET], seed="x")
    entries, limits = fresh(plan), Limits(tolerated=2)
    assert {place.name for place in startable(plan, entries, limits)} == {"b0", "b1", "b2", "b3"}
    for place, end in zip(BENCH, ends, strict=True):
        entries[place.name] = Entry("pending", away=True) if end == "away" else Entry("success")
    assert startable(plan, entries, limits) == []
    assert is_over(plan, entries, limits)
    assert bench_is_missed(plan, entries)
    assert plan.waves[current_wave(plan, entries)].name == "bench"


def test_a_bench_that_half_failed_within_what_is_tolerated_is_followed_by_one_node() -> None:
    plan = make_plan([*BENCH, *STREET], seed="x")
    entries, limits = fresh(plan), Limits(tolerated=2)
    ends: list[State] = ["failed", "success", "success", "failed"]
    for place, end in zip(BENCH, ends, strict=True):
        entries[place.name] = Entry(end)
    (canary,) = startable(plan, entries, limits)
    assert not canary.bench
    entries[canary.name] = Entry("in-progress")
    assert startable(plan, entries, limits) == []
    entries[canary.name] = Entry("success")
    assert len(startable(plan, entries, limits)) == 4  # of 5 %, one is done


@pytest.mark.parametrize("limits", [{"parallel": 0}, {"parallel": -3}, {"tolerated": -1}])
def test_limits_that_no_rollout_can_have(limits: dict[str, int]) -> None:
    with pytest.raises(PlanError, match=r"--(parallel|tolerate) "):
        Limits(**limits)
