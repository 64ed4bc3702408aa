"""A flashed card boots, and its agent is born at the broker as who it is."""

from collections.abc import Callable

import pytest

from hil_tests.bench.run import NODE, Bench

pytestmark = [pytest.mark.smoke, pytest.mark.needs("power", "console", "ssh", "card")]


def test_it_boots_and_is_born(node: Bench) -> None:
    born = node.traffic.wait_for(
        "state", since=0, timeout_seconds=1, that=lambda heard: bool(heard.data()["online"])
    )
    assert born.topic == f"{node.topic}/state"
    assert born.envelope.node == NODE
    assert born.data()["agent_version"]


def test_nothing_failed(node: Bench) -> None:
    assert node.command("systemctl --failed --no-legend --plain") == []


def test_the_console_shows_no_trouble(node: Bench) -> None:
    said = "\n".join(node.strategy.console.lines())
    assert "Kernel panic" not in said
    assert "Out of memory" not in said


def test_measurements_arrive_without_a_hole(node: Bench) -> None:
    mark = node.traffic.count()
    latest = node.traffic.wait_for(
        "camera", since=mark, timeout_seconds=180, that=lambda heard: not heard.envelope.historical
    )
    seqs = sorted(
        {
            heard.envelope.seq
            for heard in node.traffic.since()
            if heard.kind not in {"frame", "state", "reply", "cmd"}
            and heard.envelope.boot == latest.envelope.boot
        }
    )
    assert seqs == list(range(seqs[0], seqs[-1] + 1))


def test_the_drivers_are_the_kernels(
    node: Bench, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """Keep in the report what the node itself says of its devices."""
    asked = {
        "kernel": ("uname -a", "Linux"),
        "radio": ("iw dev", "Interface"),
        "lines": ("gpiodetect", "lines"),
        "heat": ("cat /sys/class/thermal/thermal_zone*/type", "thermal"),
    }
    wanted = {"radio": "hotspot", "lines": "hands", "heat": "heat"}
    for name, (command, word) in asked.items():
        if wanted.get(name, "ssh") in node.features:
            said = "\n".join(node.command(command))
            record_testsuite_property(name, said)
            assert word in said
    if "camera" in node.features:
        said = "\n".join(node.command("LIBCAMERA_LOG_LEVELS='*:ERROR' cam -l"))
        record_testsuite_property("camera", said)
        assert "Available cameras:" in said
        assert "1:" in said
