"""Arithmetic on closed ranges of sequence numbers; pure."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

Range: TypeAlias = tuple[int, int]
"""First and last number, both included."""


class Hole(NamedTuple):
    """Numbers of one boot that exist but are not stored."""

    boot: str
    first: int
    last: int


def merged(ranges: Iterable[Range]) -> list[Range]:
    """Return the same numbers as sorted ranges that neither overlap nor touch."""
    result: list[Range] = []
    for first, last in sorted(ranges):
        if last < first:
            continue
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(result[-1][1], last))
        else:
            result.append((first, last))
    return result


def without(ranges: Iterable[Range], taken: Iterable[Range]) -> list[Range]:
    """Return the numbers of `ranges` that are not in `taken`, as merged ranges."""
    cuts = merged(taken)
    result: list[Range] = []
    at = 0
    for first, last in merged(ranges):
        start = first
        while at < len(cuts) and cuts[at][1] < start:
            at += 1
        index = at
        while index < len(cuts) and cuts[index][0] <= last:
            if cuts[index][0] > start:
                result.append((start, cuts[index][0] - 1))
            start = cuts[index][1] + 1
            index += 1
        if start <= last:
            result.append((start, last))
    return result


def common(ranges: Iterable[Range], others: Iterable[Range]) -> list[Range]:
    """Return the numbers that are in both, as merged ranges."""
    kept = merged(ranges)
    return without(kept, without(kept, others))


def count(ranges: Sequence[Range]) -> int:
    """Return how many numbers merged `ranges` hold."""
    return sum(last - first + 1 for first, last in ranges)
