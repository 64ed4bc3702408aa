"""Range arithmetic against plain sets."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from hub.store.ranges import common, count, merged, without

ranges = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)))


def members(of: list[tuple[int, int]]) -> set[int]:
    return {number for first, last in of for number in range(first, last + 1)}


@given(ranges, ranges)
def test_ranges_behave_as_the_sets_they_stand_for(
    one: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    assert members(merged(one)) == members(one)
    assert members(without(one, other)) == members(one) - members(other)
    assert members(common(one, other)) == members(one) & members(other)
    assert count(merged(one)) == len(members(one))


@given(ranges, ranges)
def test_results_are_sorted_and_apart(
    one: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    for result in (merged(one), without(one, other), common(one, other)):
        assert all(first <= last for first, last in result)
        assert all(b[0] > a[1] + 1 for a, b in itertools.pairwise(result))
