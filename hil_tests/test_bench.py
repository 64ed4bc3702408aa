"""The bench itself: complete and bound, before anything is switched on."""

import pytest
from labgrid import Target

from hil_tests.bench.environment import features_of
from hil_tests.bench.features import FEATURES


@pytest.mark.dry
@pytest.mark.smoke
def test_every_driver_is_bound(bench_target: Target) -> None:
    strategy = bench_target.get_strategy()
    assert all(getattr(strategy, name) is not None for name in strategy.bindings)


@pytest.mark.dry
@pytest.mark.smoke
def test_it_says_what_it_can_do(bench_target: Target) -> None:
    assert features_of(bench_target) <= FEATURES.keys()
    assert {"power", "console", "ssh", "card"} <= features_of(bench_target)
