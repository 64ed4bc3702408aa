"""`simpul status` and `watch` say what the broker knows, and explain what they cannot do."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from services.mosquitto import Mosquitto
from services.ports import free_port
from services.talker import Talker

from node.messages import Health, State, Wifi, encode
from provisioning.fleet import Fleet, NodeView
from provisioning.table import fleet_table

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def draw(*views: NodeView, live: bool = True) -> str:
    console = Console(width=200, record=True, force_terminal=False)
    console.print(fleet_table(views, live=live, now=NOW))
    return console.export_text()


def simpul(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "provisioning", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={"COLUMNS": "200", "PATH": "/usr/bin:/bin"},
    )


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as broker:
        yield broker


def test_the_newest_state_counts() -> None:
    fleet = Fleet()
    talker = Talker("mqtt://127.0.0.1:1", "taman-bunga")
    for online in (True, False):
        state = State(online=online, title="Taman Bunga", site="tb")
        fleet.hear("simpul/1/taman-bunga/state", encode(talker.envelope("state", state, 0)))
    view = fleet.nodes["taman-bunga"]
    assert view.state == State(online=False, title="Taman Bunga", site="tb")


def test_a_node_cannot_speak_for_another() -> None:
    fleet = Fleet()
    payload = encode(Talker("mqtt://127.0.0.1:1", "a").envelope("state", State(online=True), 0))
    fleet.hear("simpul/1/b/state", payload)
    assert fleet.garbage_count == 1
    assert "b" not in fleet.nodes


@given(st.text(), st.binary(max_size=200))
def test_garbage_never_raises(topic: str, payload: bytes) -> None:
    fleet = Fleet()
    for name in (topic, "simpul/1/a/state", "simpul/1/a/frame", "simpul/1/a/health"):
        fleet.hear(name, payload)


def test_history_does_not_look_live() -> None:
    fleet = Fleet()
    talker = Talker("mqtt://127.0.0.1:1", "a")
    payload = encode(talker.envelope("health", Health(load_1min=1), 1, historical=True))
    fleet.hear("simpul/1/a/health", payload)
    assert fleet.nodes["a"].health is None


def test_the_table_shows_trouble() -> None:
    text = draw(
        NodeView(
            node="pasar-horas",
            state=State(online=True, title="Pasar [Horas]", simulated=True),
            state_at=NOW - timedelta(hours=3),
            still_at=NOW - timedelta(minutes=5),
            health=Health(cpu_temperature_celsius=83.4, outbox_unsent_count=12),
            wifi=Wifi(interface="wlan0", up=True, stations_count=7),
        ),
        NodeView(node="adam-malik"),
    )
    for words in ("Pasar [Horas]", "online (simulated)", "3 h", "5 min", "83", "12", "unknown"):
        assert words in text
    assert text.index("adam-malik") < text.index("pasar-horas")


def test_status_reads_the_retained_state(broker: Mosquitto) -> None:
    with Talker(broker.url, "adam-malik") as first, Talker(broker.url, "taman-bunga") as second:
        first.birth()
        second.birth()
        second.birth(online=False)
        result = simpul("status", "--broker", broker.url)
        assert result.returncode == 0, result.stderr
        lines = {line.split()[1]: line for line in result.stdout.splitlines() if "│" in line}
        assert "online" in lines["adam-malik"]
        assert "offline" in lines["taman-bunga"]
        nodes = json.loads(simpul("status", "--broker", broker.url, "--json").stdout)
        assert [(n["node"], n["state"]["online"]) for n in nodes] == [
            ("adam-malik", True),
            ("taman-bunga", False),
        ]


def test_watch_shows_what_is_said_live(broker: Mosquitto) -> None:
    with Talker(broker.url, "adam-malik") as talker:
        talker.birth()
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "provisioning",
                "watch",
                "--broker",
                broker.url,
                "--seconds",
                "4",
            ],
            stdout=subprocess.PIPE,
            text=True,
            env={"COLUMNS": "200", "PATH": "/usr/bin:/bin"},
        )
        while process.poll() is None:
            talker.measure(users=42)
            try:
                process.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
        assert process.stdout is not None
        assert "42" in process.stdout.read()
        process.stdout.close()


@pytest.mark.parametrize(
    ("broker_url", "words"),
    [
        ("http://somewhere", "is no broker"),
        ("mqtt://127.0.0.1:{port}", "is the broker running there?"),
        ("mqtt://127.0.0.1:notaport", "is no broker"),
    ],
)
def test_an_unreachable_broker_is_explained(broker_url: str, words: str) -> None:
    result = simpul("status", "--broker", broker_url.format(port=free_port()))
    assert result.returncode == 1
    assert words in result.stderr
    assert "Traceback" not in result.stderr
