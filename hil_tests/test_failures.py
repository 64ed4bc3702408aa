"""What goes wrong at a pole, and what the node does about it."""

import pytest

from hil_tests.bench.protocols import UplinkProtocol
from hil_tests.bench.run import Bench
from hil_tests.bench.traffic import Heard

pytestmark = pytest.mark.needs("ssh")
_SECONDS = 300


def _born(heard: Heard) -> bool:
    return bool(heard.data()["online"])


def _measured(node: Bench, boot: str) -> set[int]:
    return {
        heard.envelope.seq
        for heard in node.traffic.since()
        if heard.kind in {"health", "camera", "wifi"} and heard.envelope.boot == boot
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
    finally:
        uplink.set_up(up=True)
    back = node.traffic.count()
    node.traffic.wait_for("state", since=back, timeout_seconds=_SECONDS, that=_born)
    node.traffic.wait_for("health", since=back, timeout_seconds=_SECONDS, that=lambda _: True)
    node.traffic.wait_for(
        "camera",
        since=node.traffic.count(),
        timeout_seconds=_SECONDS,
        that=lambda heard: not heard.envelope.historical,
    )
    seqs = _measured(node, boot)
    events = {h.envelope.seq for h in node.traffic.since() if h.kind.startswith("event/")}
    assert set(range(min(seqs), max(seqs) + 1)) <= seqs | events


@pytest.mark.smoke
def test_a_killed_agent_comes_back(node: Bench) -> None:
    mark = node.traffic.count()
    node.command("systemctl kill --signal=KILL --kill-whom=main simpul-node")
    born = node.traffic.wait_for("state", since=mark, timeout_seconds=_SECONDS, that=_born)
    before = [h.envelope.boot for h in node.traffic.since()[:mark] if h.kind == "state"]
    assert born.envelope.boot not in before


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


@pytest.mark.needs("clock")
def test_a_wrong_clock_is_told_and_disturbs_nothing(node: Bench) -> None:
    node.command("systemctl stop systemd-timesyncd; date -s '1971-01-01 00:00:00'")
    mark = node.traffic.count()
    told = node.traffic.wait_for("health", since=mark, timeout_seconds=120, that=lambda _: True)
    assert not told.envelope.clock_synced
    assert told.envelope.at.year == 1971
