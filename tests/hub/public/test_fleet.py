"""What becomes public of what nodes say: states, ages, and small numbers."""

from datetime import UTC, datetime, timedelta

import pytest
from services.talker import Talker

from hub.public.cameras import CameraView, HotspotView
from hub.public.fleet import Fleet
from hub.settings import Public
from node.messages import Envelope, State, StillInfo, Wifi

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
OLD_BOOT, BOOT = "00000000000000aa", "00000000000000bb"


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def envelope(seq: int = 0, *, kind: str = "state", **changes: object) -> Envelope:
    fields: dict[str, object] = {"boot": BOOT, "at": NOW, "mono": 1000.0}
    return Talker("mqtt://127.0.0.1:1", "pasar-horas").envelope(
        kind, {}, seq, **{**fields, **changes}
    )


def info(**changes: object) -> StillInfo:
    fields: dict[str, object] = {
        "node": "pasar-horas", "boot": BOOT, "at": NOW, "mono": 1000.0, "clock_synced": True,
        "width": 640, "height": 360,
    }  # fmt: skip
    return StillInfo(**{**fields, **changes})  # type: ignore[arg-type]


def born(**state: object) -> Fleet:
    fleet = Fleet(Public())
    known: dict[str, object] = {"title": "Pasar Horas", "camera": True, "hotspot": True}
    birth = State(online=True, **{**known, **state})  # type: ignore[arg-type]
    fleet.state(envelope(), birth, received_at=NOW, retained=False)
    return fleet


def view(fleet: Fleet, now: datetime = NOW) -> CameraView:
    (only,) = fleet.file(now).cameras
    return only


def test_a_fresh_still_is_online_and_an_old_one_stale() -> None:
    fleet = born()
    assert view(fleet).state == "stale"
    fleet.still(info(), b"jpeg", received_at=later(1), retained=False)
    assert view(fleet, later(60)).state == "online"
    assert view(fleet, later(61)).state == "stale"
    assert view(fleet).updated_at == NOW


def test_a_death_is_offline_until_the_next_birth() -> None:
    fleet = born()
    fleet.still(info(), b"jpeg", received_at=NOW, retained=False)
    fleet.state(envelope(), State(online=False), received_at=later(1), retained=False)
    assert view(fleet, later(2)).state == "offline"
    assert view(fleet, later(2)).name == "Pasar Horas"
    assert fleet.online(later(2)) == frozenset()
    fleet.state(envelope(), State(online=True), received_at=later(3), retained=False)
    assert view(fleet, later(4)).state == "online"


def test_the_late_death_of_a_former_run_changes_nothing() -> None:
    fleet = born()
    fleet.state(envelope(boot=OLD_BOOT), State(online=False), received_at=later(1), retained=False)
    assert fleet.online(later(2)) == {"pasar-horas"}


def test_a_node_that_speaks_long_after_its_death_is_there() -> None:
    fleet = born()
    fleet.state(envelope(), State(online=False), received_at=NOW, retained=False)
    fleet.heard(envelope(1, kind="wifi", historical=True), received_at=later(9))
    fleet.heard(envelope(2, kind="wifi"), received_at=later(4))
    assert fleet.online(later(9)) == frozenset()
    fleet.heard(envelope(3, kind="wifi"), received_at=later(9))
    assert fleet.online(later(9)) == {"pasar-horas"}


def test_a_death_that_the_broker_tells_again_is_no_new_one() -> None:
    fleet = born()
    for retained, seconds in ((False, 0), (True, 8)):
        fleet.state(envelope(), State(online=False), received_at=later(seconds), retained=retained)
        fleet.heard(envelope(1, kind="wifi"), received_at=later(seconds + 1))
    assert fleet.online(later(9)) == {"pasar-horas"}


def test_a_node_that_falls_silent_is_offline_until_it_says_something() -> None:
    fleet = born()
    assert fleet.online(later(4000)) == {"pasar-horas"}
    assert fleet.online(later(4001)) == frozenset()
    assert view(fleet, later(4001)).state == "offline"
    fleet.heard(envelope(1, kind="wifi", historical=True), received_at=later(5000))
    assert fleet.online(later(9000)) == {"pasar-horas"}
    fleet.still(info(), b"jpeg", received_at=later(9000), retained=False)
    assert fleet.online(later(13_000)) == {"pasar-horas"}
    assert fleet.online(later(13_001)) == frozenset()


def test_what_a_broker_says_again_of_a_dead_node_is_no_sign_of_life() -> None:
    fleet = Fleet(Public())
    fleet.state(envelope(), State(online=True), received_at=NOW, retained=True)
    assert fleet.online(NOW) == {"pasar-horas"}
    fleet.state(envelope(), State(online=True), received_at=later(3999), retained=True)
    fleet.still(info(), b"jpeg", received_at=later(3999), retained=True)
    assert fleet.online(later(4001)) == frozenset()
    fleet.state(envelope(), State(online=True), received_at=later(4002), retained=False)
    assert fleet.online(later(4003)) == {"pasar-horas"}


def test_a_retained_still_shows_its_own_age() -> None:
    fleet = born()
    fleet.still(info(), b"jpeg", received_at=later(600), retained=True)
    shown = view(fleet, later(600))
    assert (shown.state, shown.updated_at) == ("stale", NOW)


def test_without_a_clock_a_live_still_is_dated_by_its_reception() -> None:
    fleet = born()
    unsynced = info(clock_synced=False, at=datetime(1970, 1, 1, tzinfo=UTC))
    fleet.still(unsynced, b"jpeg", received_at=later(5), retained=False)
    assert view(fleet, later(5)).updated_at == later(5)


def test_without_a_clock_a_retained_still_is_dated_by_the_monotonic_clock() -> None:
    fleet = born()
    unsynced = info(clock_synced=False, at=datetime(1970, 1, 1, tzinfo=UTC), mono=400.0)
    fleet.still(unsynced, b"jpeg", received_at=NOW, retained=True)
    assert view(fleet).updated_at is None
    assert view(fleet).state == "stale"
    fleet.heard(envelope(1, kind="wifi", mono=1000.0), received_at=NOW)
    assert view(fleet).updated_at == later(-600)


UNSYNCED = {"clock_synced": False, "at": datetime(1970, 1, 1, tzinfo=UTC)}


def test_a_node_whose_clock_runs_slow_has_fresh_stills_after_weeks() -> None:
    fleet, slow, last = born(), 30e-6, 24 * 86_400.0
    for second in range(0, int(last) + 1, 600):
        fleet.heard(envelope(1, kind="wifi", mono=second * (1 - slow)), received_at=later(second))
    fleet.still(
        info(mono=last * (1 - slow), **UNSYNCED), b"jpeg", received_at=later(last), retained=False
    )
    shown = view(fleet, later(last))
    assert shown.updated_at is not None
    assert later(last) - shown.updated_at < timedelta(seconds=1)
    assert shown.state == "online"


@pytest.mark.parametrize(("hub_behind_hours", "hours"), [(2.0, 0.1), (1.5, 1.1), (-1.5, 0.1)])
def test_a_clock_of_the_hub_that_was_set_dates_no_still_for_long(
    hub_behind_hours: float, hours: float
) -> None:
    fleet = born()
    for second in range(0, int(hours * 3600) + 61, 20):
        error = hub_behind_hours * 3600 if second <= 60 else 0
        fleet.heard(envelope(1, kind="wifi", mono=second), received_at=later(second - error))
    moment = later(second + 1)
    fleet.still(info(mono=second, **UNSYNCED), b"jpeg", received_at=moment, retained=False)
    assert view(fleet, moment).updated_at == later(second)


def test_what_waited_underway_is_dated_by_what_did_not_an_hour_ago() -> None:
    fleet = born()
    fleet.heard(envelope(1, kind="wifi", mono=0.0), received_at=NOW)
    for second in range(20, 6401, 20):
        late = envelope(1, kind="wifi", mono=second)
        fleet.heard(late, received_at=later(second + 300))
    fleet.still(info(mono=6400.0, **UNSYNCED), b"jpeg", received_at=later(6700), retained=False)
    assert view(fleet, later(6700)).updated_at == later(6400)


def test_a_clock_that_runs_ahead_cannot_make_a_still_fresher_than_its_reception() -> None:
    fleet = born()
    fleet.still(info(at=later(9999)), b"jpeg", received_at=NOW, retained=False)
    assert view(fleet).updated_at == NOW


def test_an_older_still_does_not_come_back() -> None:
    fleet = born()
    assert fleet.still(info(mono=10.0), b"new", received_at=NOW, retained=False)
    before = view(fleet)
    assert not fleet.still(info(mono=9.0), b"old", received_at=NOW, retained=False)
    assert not fleet.still(
        info(boot=OLD_BOOT, at=later(-5)), b"older", received_at=NOW, retained=False
    )
    assert view(fleet) == before


@pytest.mark.parametrize(
    ("stations", "expected"),
    [(0, (None, 5)), (4, (None, 5)), (5, (5, None)), (40, (40, None))],
)
def test_small_numbers_of_users_are_not_told(
    stations: int, expected: tuple[int | None, int | None]
) -> None:
    fleet = born()
    wifi = Wifi(interface="wlan0", up=True, stations_count=stations)
    fleet.wifi(envelope(1, kind="wifi"), wifi, received_at=NOW)
    hotspot = view(fleet).hotspot
    assert hotspot is not None
    assert (hotspot.users, hotspot.fewer_than) == expected


def test_old_counts_and_counts_of_the_absent_are_unknown() -> None:
    fleet = born()
    wifi = Wifi(interface="wlan0", up=True, stations_count=40, simulated=True)
    fleet.wifi(envelope(1, kind="wifi"), wifi, received_at=NOW)
    unknown = HotspotView(users=None, fewer_than=None, simulated=True)
    assert view(fleet, later(121)).hotspot == unknown
    fleet.state(envelope(), State(online=False, hotspot=True), received_at=NOW, retained=False)
    assert view(fleet).hotspot == unknown


def test_late_and_older_counts_do_not_replace_newer_ones() -> None:
    fleet = born()
    for seq, stations, historical in ((5, 50, False), (4, 44, False), (9, 99, True)):
        fleet.wifi(
            envelope(seq, kind="wifi", historical=historical),
            Wifi(interface="wlan0", up=True, stations_count=stations),
            received_at=NOW,
        )
    hotspot = view(fleet).hotspot
    assert hotspot is not None
    assert hotspot.users == 50


def test_a_node_that_only_measured_is_not_public() -> None:
    fleet = Fleet(Public())
    fleet.heard(envelope(1, kind="wifi"), received_at=NOW)
    assert fleet.file(NOW).cameras == ()
