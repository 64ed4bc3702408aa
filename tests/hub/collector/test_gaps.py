"""When the hub asks for what is missing."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from hub.collector.gaps import BootKey, GapWatch
from hub.settings import Gaps

SETTINGS = Gaps(grace_seconds=2, interval_min_seconds=5, interval_max_seconds=40)
KEY = BootKey("pasar-horas", "00000000000000aa")


def a_watch(missing: int = 3) -> GapWatch:
    watch = GapWatch(SETTINGS)
    watch.saw({KEY: missing}, 0.0)
    return watch


def test_a_new_hole_gets_a_grace() -> None:
    watch = a_watch()
    assert watch.due(1.9) == []
    assert watch.due(2.0) == [KEY]


def test_a_hole_that_closed_is_not_asked_for() -> None:
    watch = a_watch()
    watch.saw({}, 1.0)
    assert watch.due(100.0) == []


def test_pauses_double_up_to_a_bound() -> None:
    watch = a_watch()
    now, asks = 2.0, []
    while now < 300:
        watch.saw({KEY: 3}, now)
        if watch.due(now):
            asks.append(now)
            watch.asked(KEY, now)
        now += 0.5
    assert [b - a for a, b in itertools.pairwise(asks)][:5] == [5, 10, 20, 40, 40]


def test_while_a_gap_shrinks_nobody_asks() -> None:
    watch = a_watch(missing=1000)
    for step in range(60):
        watch.saw({KEY: 1000 - step}, step * 0.5)
        assert watch.due(step * 0.5) == []
    watch.saw({KEY: 941}, 31.6)
    assert watch.due(31.6) == [KEY]


def test_a_node_that_is_away_is_asked_when_it_is_back() -> None:
    watch = a_watch()
    for now in (2.0, 7.0, 17.0):
        watch.asked(KEY, now)  # the pauses have become long
    watch.saw({}, 20.0)
    assert watch.due(1000.0) == []
    watch.saw({KEY: 3}, 1000.0)
    assert watch.due(1001.0) == []
    assert watch.due(1002.0) == [KEY]


steps = st.lists(st.tuples(st.floats(0, 20), st.booleans(), st.integers(0, 5)), max_size=60)


@given(steps)
def test_never_asks_too_soon_too_often_or_of_the_absent(
    walk: list[tuple[float, bool, int]],
) -> None:
    watch = GapWatch(SETTINGS)
    now, seen_at, asked_at = 0.0, None, None
    for pause, online, missing in walk:
        now += pause
        seen = online and missing
        watch.saw({KEY: missing} if seen else {}, now)
        seen_at = (now if seen_at is None else seen_at) if seen else None
        asked_at = asked_at if seen else None
        if watch.due(now) != [KEY]:
            continue
        assert online
        assert missing
        assert seen_at is not None
        assert now - seen_at >= SETTINGS.grace_seconds
        assert asked_at is None or now - asked_at >= SETTINGS.grace_seconds
        watch.asked(KEY, now)
        asked_at = now


@given(steps)
def test_a_hole_that_stays_is_always_asked_for_in_the_end(
    walk: list[tuple[float, bool, int]],
) -> None:
    watch, now = GapWatch(SETTINGS), 0.0
    for pause, online, missing in walk:
        now += pause
        watch.saw({KEY: missing} if online and missing else {}, now)
        for key in watch.due(now):
            watch.asked(key, now)
    watch.saw({KEY: 9}, now)
    assert watch.due(now + SETTINGS.interval_max_seconds) == [KEY]
