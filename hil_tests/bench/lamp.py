"""Reads a lamp as a technician does: by how often it blinks between two pauses. Pure."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from hil_tests.bench.protocols import Look

_PAUSE_SECONDS = 0.9
_STEADY_SECONDS = 1.5
_SLOW_SECONDS = 0.3
_BY_BLINKS = {1: "not-provisioned", 2: "no-uplink", 3: "no-camera"}


def read_lamp(looks: Sequence[Look]) -> str:
    """Return the status that was shown, as docs/how-to/read-the-lamp.md lists them, or `steady`."""
    runs = [*_runs(looks)][1:-1]  # the first and the last one were not seen whole
    pauses = [index for index, (lit, s) in enumerate(runs) if not lit and s >= _PAUSE_SECONDS]
    if pauses:
        blinks = {(after - before) // 2 for before, after in pairwise(pauses)}
        return _BY_BLINKS.get(blinks.pop(), "unknown") if len(blinks) == 1 else "unknown"
    if not runs:
        return "steady"
    lit_seconds = sorted(seconds for lit, seconds in runs if lit)
    if lit_seconds and lit_seconds[-1] >= _STEADY_SECONDS:
        return "working"
    median_seconds = sorted(seconds for _, seconds in runs)[len(runs) // 2]
    return "booting" if median_seconds >= _SLOW_SECONDS else "identify"


def _runs(looks: Sequence[Look]) -> Iterator[tuple[bool, float]]:
    """Yield how long the lamp was lit, dark, lit ... in seconds."""
    if not looks:
        return
    since, lit = looks[0]
    for look in looks:
        if look.lit != lit:
            yield lit, look.mono - since
            since, lit = look
    yield lit, looks[-1].mono - since
