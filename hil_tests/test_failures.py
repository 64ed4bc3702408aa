"""What goes wrong at a pole, and what the node does about it."""

import datetime as dt
from collections.abc import Iterable

import pytest

from hil_tests.bench.lamp import read_lamp
from hil_tests.bench.protocols import HandsProtocol, HeatProtocol, UplinkProtocol
from hil_tests.bench.run import Bench
from hil_tests.bench.traffic import Heard

pytestmark = pytest.mark.needs("ssh")
_SECONDS = 300
_NOTICED_AFTER_LOOKS_MAX = 5
_WATCHDOG_US = 20_000_000
_WRONG_CLOCK = "1971-01-01T00:00:00"
_WRONG_BY = dt.timedelta(days=2)


def _born(heard: Heard) -> bool:
    return bool(heard.data()["online"])


def _numbers(heard: Iterable[Heard], boot: str) -> set[int]:
    """Return the numbers of all measurements and events of one run of the agent."""
    return {
        each.envelope.seq
        for each in heard
        if each.kind not in {"frame", "cmd"} and each.envelope.boot == boot
    }


@pytest.mark.smoke
@pytest.mark.needs("uplink")
def test_an_uplink_that_comes_back_loses_nothing(node: Bench) -> None:
    uplink = node.target.get_driver(UplinkProtocol)
    latest = node.traffic.wait_for("health", since=0, timeout_seconds=90, that=lambda _: True)
    boot, mark = latest.envelope.boot, node.traffic.count()
    uplink.set_up(up=False)
    try:
        node.traffic.wait_for(
            "state", since=mark, timeout_seconds=_SECONDS, that=lambda heard: not _born(heard)
        )
        if "hands" in node.features:
            hands = node.target.get_driver(HandsProtocol)
            # The broker may notice before the node does: each waits for the other in its own time.
            looks = (read_lamp(hands.watch_lamp(7)) for _ in range(_NOTICED_AFTER_LOOKS_MAX))
            assert "no-uplink" in looks
    finally:
        uplink.set_up(up=True)
    back = node.traffic.count()
    node.traffic.wait_for("state", since=back, timeout_seconds=_SECONDS, that=_born)
    # What is new goes first, what was kept follows: none of it may be missing in the end.
    live = node.traffic.wait_for(
        "camera",
        since=back,
        timeout_seconds=_SECONDS,
        that=lambda heard: not heard.envelope.historical,
    )
    wanted = set(range(1, live.envelope.seq + 1))
    node.traffic.wait_until(lambda heard: wanted <= _numbers(heard, boot), timeout_seconds=_SECONDS)


@pytest.mark.smoke
def test_a_killed_agent_comes_back(node: Bench) -> None:
    mark = node.traffic.count()
    before = {h.envelope.boot for h in node.traffic.since()[:mark] if h.kind == "state"}
    node.command("systemctl kill --signal=KILL --kill-whom=main simpul-node")
    node.traffic.wait_for(
        "state",
        since=mark,
        timeout_seconds=_SECONDS,
        that=lambda heard: _born(heard) and heard.envelope.boot not in before,
    )


@pytest.mark.smoke
def test_a_killed_camera_comes_back(node: Bench) -> None:
    mark = node.traffic.count()
    node.command("pkill -KILL -f 'node camera'")
    node.traffic.wait_for(
        "event/source-failed",
        since=mark,
        timeout_seconds=_SECONDS,
        that=lambda heard: heard.data()["source"] == "camera",
    )
    node.traffic.wait_for(
        "frame", since=node.traffic.count(), timeout_seconds=_SECONDS, that=lambda _: True
    )


def test_a_full_disk_stops_nothing(node: Bench) -> None:
    (place,) = node.command("df --output=target /var/lib/simpul | tail -n 1")
    node.command(f"fallocate -l $(df --output=avail -B1 {place} | tail -n 1) {place}/full || true")
    try:
        for _ in range(3):
            node.traffic.wait_for(
                "health", since=node.traffic.count(), timeout_seconds=120, that=lambda _: True
            )
    finally:
        node.command(f"rm -f {place}/full")
    node.traffic.wait_for(
        "health",
        since=node.traffic.count(),
        timeout_seconds=_SECONDS,
        that=lambda heard: heard.data().get("outbox_volatile") is False,
    )


@pytest.mark.needs("heat")
def test_a_hot_processor_is_told(node: Bench) -> None:
    heat = node.target.get_driver(HeatProtocol)
    for celsius in (86.5, 41.0):
        mark = node.traffic.count()
        heat.heat(celsius)
        node.traffic.wait_for(
            "health",
            since=mark,
            timeout_seconds=120,
            that=lambda heard, celsius=celsius: (
                heard.data().get("cpu_temperature_celsius")  # type: ignore[misc]
                == celsius
            ),
        )


@pytest.mark.needs("camera", "hands")
def test_without_a_valid_mask_there_is_no_picture(node: Bench) -> None:
    hands = node.target.get_driver(HandsProtocol)
    node.command("mv /etc/simpul/mask.toml /etc/simpul/mask.good; systemctl restart simpul-node")
    mark = node.traffic.count()
    try:
        for _ in range(3):
            node.traffic.wait_for(
                "camera",
                since=node.traffic.count(),
                timeout_seconds=_SECONDS,
                that=lambda heard: not heard.data()["running"],
            )
        assert read_lamp(hands.watch_lamp(9)) == "no-camera"
        assert "frame" not in {heard.kind for heard in node.traffic.since(mark)}
    finally:
        node.command(
            "mv /etc/simpul/mask.good /etc/simpul/mask.toml; systemctl restart simpul-node"
        )
    mark = node.traffic.count()
    node.traffic.wait_for("frame", since=mark, timeout_seconds=_SECONDS, that=lambda _: True)


def _starts_anew(node: Bench, how: str, *, watchdog_us: int) -> None:
    """Run the command `how`, which stops PID 1, and see the node go and come back by itself."""
    manager = "org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager"
    node.command(f"busctl set-property {manager} RuntimeWatchdogUSec t {watchdog_us}")
    mark = node.traffic.count()
    node.command(how)
    node.traffic.wait_for(
        "state", since=mark, timeout_seconds=_SECONDS, that=lambda heard: not _born(heard)
    )
    node.traffic.wait_for("state", since=mark, timeout_seconds=2 * _SECONDS, that=_born)
    node.strategy.started_anew()
    node.strategy.transition("provisioned")


@pytest.mark.needs("watchdog", "console")
def test_a_hung_system_is_reset(node: Bench) -> None:
    # A frozen systemd stands still, and everything else goes on but the watchdog.
    freeze = "echo 1 > /sys/fs/cgroup/init.scope/cgroup.freeze"
    _starts_anew(node, freeze, watchdog_us=_WATCHDOG_US)


@pytest.mark.needs("console")
def test_a_crashed_systemd_starts_anew(node: Bench) -> None:
    # By itself, not by the watchdog: one that crashes before it arms the watchdog has none.
    _starts_anew(node, "kill -SEGV 1", watchdog_us=0)


@pytest.mark.needs("clock", "power")
def test_a_wrong_clock_at_boot_disturbs_nothing(node: Bench) -> None:
    # systemd starts at the latest time that it knows of (systemd(1)): it must know of none.
    clock_file = "/var/lib/systemd/timesync/clock"
    node.command(f"systemctl stop systemd-timesyncd; rm -f {clock_file}; sync")
    node.strategy.power.off()
    node.strategy.lost_power()
    node.strategy.power.clock = _WRONG_CLOCK
    mark = node.traffic.count()
    try:
        node.strategy.transition("booted")
        told = node.traffic.wait_for(
            "health",
            since=mark,
            timeout_seconds=2 * _SECONDS,
            that=lambda heard: not heard.envelope.historical,
        )
        assert not told.envelope.clock_synced
        assert told.envelope.at < dt.datetime.now(dt.UTC) - _WRONG_BY
        assert told.data().get("outbox_volatile") is not True
    finally:
        node.strategy.power.off()
        node.strategy.lost_power()
        node.strategy.power.clock = ""
        node.strategy.transition("provisioned")
