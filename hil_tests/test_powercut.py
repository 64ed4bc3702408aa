"""A node whose power is cut comes back, and nothing is lost that it had told or been given."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from hil_tests.bench.run import Bench
from hil_tests.cuts import found_after_cuts, installed, recorded
from hil_tests.releases import open_office

pytestmark = pytest.mark.needs("power", "ssh")
_CUTS_COUNT = 3
_SECONDS = 600.0
_STATES_MAX = 120


@pytest.mark.parametrize("cut", range(_CUTS_COUNT))
def test_it_comes_back_after_a_cut_at_random(node: Bench, cut: int) -> None:
    mark = node.traffic.count()
    # Somewhere within the next measurements: the moment is theirs, not a clock's.
    wanted = random.Random(cut).randint(1, 8)  # noqa: S311 - must repeat
    for _ in range(wanted):
        node.traffic.wait_for(
            "camera", since=node.traffic.count(), timeout_seconds=120, that=lambda _: True
        )
    node.strategy.power.off()
    node.strategy.lost_power()
    off = node.traffic.count()
    before = {
        (heard.envelope.boot, heard.envelope.seq)
        for heard in node.traffic.since(mark)
        if heard.kind in {"camera", "health", "wifi"}
    }
    node.strategy.transition("booted")
    born = node.traffic.wait_for(
        "state",
        since=off,
        timeout_seconds=_SECONDS,
        that=lambda heard: bool(heard.data()["online"]),
    )
    ledgers = born.data()["ledgers"]
    assert isinstance(ledgers, list)
    last = {each["boot"]: each["last_seq"] for each in ledgers}
    assert before
    for boot, seq in before:
        assert last.get(boot, 0) >= seq, "told before the cut, forgotten after it"
    node.strategy.transition("provisioned")


@pytest.mark.needs("powercut")
def test_no_cut_leaves_half_a_release(
    node: Bench, tmp_path: Path, record_testsuite_property: Callable[[str, object], None]
) -> None:
    with recorded(node, tmp_path) as card:
        during = installed(open_office(node, tmp_path), card)
    seen = found_after_cuts(card, during, tmp_path, _STATES_MAX)
    record_testsuite_property("states", str(dict(seen)))
    assert seen.total() >= _STATES_MAX // 2
    assert set(seen) == {"whole"}, seen
