"""Says which writes may have reached the medium when the power went; pure.

A flush makes what came before it durable, so a log falls into epochs between flushes: all earlier
epochs are on the medium, and of the writes of the running one any subset may be. The number of
subsets doubles with every write. Up to `EXHAUSTIVE_MAX` writes all are given. Beyond that:

- *in order*: the first k writes, for every k (a device that keeps order);
- *torn*: as in order, with the last write only half done, cut between pages of `PAGE_BYTES`;
- *dropped*: none of them;
- *alone*: one write has overtaken all others, for every write;
- *all but one*: one write was left behind, for every write;
- *subset*: some more, drawn at random from a fixed seed.

A pair of writes whose order matters, the usual fault, is broken by one of alone and all but one.
Within a page a write is taken as whole or not at all, as flash programs it; ext4 needs that for its
superblock of two sectors. A medium that tears pages, or harms neighbours, is not modelled here.
A write under FUA is durable by itself: no state holds a later write without it.
"""

import enum
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.powercut_log import Entry, Flag

EXHAUSTIVE_MAX = 5
SUBSETS = 8
PAGE_BYTES = 4096


class Kind(enum.StrEnum):
    """The class of a state."""

    IN_ORDER = "in order"
    TORN = "torn"
    DROPPED = "dropped"
    ALONE = "alone"
    ALL_BUT_ONE = "all but one"
    SUBSET = "subset"


@dataclass(frozen=True, slots=True)
class State:
    """What of an epoch is on the medium."""

    kind: Kind
    kept: tuple[int, ...]
    """Indexes into the epoch's writes, rising."""
    torn_bytes: int = 0
    """Of the last kept write only so many bytes are there; 0 is all of it."""


def epochs(entries: Sequence[Entry]) -> Iterator[tuple[Entry, ...]]:
    """Yield the writes between flushes; a write that carries a flush begins a new epoch."""
    epoch: list[Entry] = []
    for entry in entries:
        if entry.flags & Flag.FLUSH:
            yield tuple(epoch)
            epoch = []
        if entry.size_bytes:
            epoch.append(entry)
    yield tuple(epoch)


def states(writes: Sequence[Entry], seed: int = 0) -> Iterator[State]:
    """Yield each state of an epoch once; neighbours differ little, so that moving is cheap."""
    seen: set[tuple[tuple[int, ...], int]] = set()
    for state in _candidates(writes, seed):
        kept = _with_durable(writes, state.kept)
        torn_bytes = state.torn_bytes if kept == state.kept else 0
        if (kept, torn_bytes) not in seen:
            seen.add((kept, torn_bytes))
            yield State(state.kind, kept, torn_bytes)


def _candidates(writes: Sequence[Entry], seed: int) -> Iterator[State]:
    every = tuple(range(len(writes)))
    yield State(Kind.DROPPED, ())
    for index in every:
        yield State(Kind.ALONE, (index,))
    for index, write in enumerate(writes):
        half = (write.start_bytes + write.size_bytes // 2) // PAGE_BYTES * PAGE_BYTES
        if half > write.start_bytes:
            yield State(Kind.TORN, every[: index + 1], half - write.start_bytes)
        yield State(Kind.IN_ORDER, every[: index + 1])
    for index in every:
        yield State(Kind.ALL_BUT_ONE, every[:index] + every[index + 1 :])
    if len(writes) <= EXHAUSTIVE_MAX:
        for count in every:
            for kept in itertools.combinations(every, count):
                yield State(Kind.SUBSET, kept)
        return
    draw = random.Random(seed)  # noqa: S311 - repeatable, no secret
    for _ in range(SUBSETS):
        yield State(Kind.SUBSET, tuple(index for index in every if draw.random() < 0.5))


def _with_durable(writes: Sequence[Entry], kept: tuple[int, ...]) -> tuple[int, ...]:
    """Return `kept` and whatever was durable before its last write was asked for."""
    last = kept[-1] if kept else -1
    durable = {index for index in range(last) if writes[index].flags & Flag.FUA}
    return tuple(sorted(durable.union(kept))) if durable else kept
