"""`simpul status` and `watch` say what the broker knows, and explain what they cannot do."""

import io
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from services.mosquitto import Mosquitto
from services.ports import free_port
from services.talker import TINY_JPEG, Talker
from services.terminal import read_until

from node.messages import Camera, Health, State, StillInfo, Wifi, encode, write_still_info
from provisioning.fleet import Fleet, NodeView
from provisioning.table import fleet_table

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


DAY = timedelta(days=1)
_EXTREME = (
    st.integers(-(10**400), 10**400)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([10**400, 2**63, 2**63 - 1, -1, 1e308, -1e308])
)


def draw(
    *views: NodeView, live: bool = True, columns: int = 200, lost_at: datetime | None = None
) -> str:
    console = Console(width=columns, record=True, file=io.StringIO())
    console.print(fleet_table(views, live=live, now=NOW, columns=columns, lost_at=lost_at))
    return console.export_text()


def said(kind: str, data: object, **changes: object) -> bytes:
    """Return what the node pasar-horas says, at NOW."""
    talker = Talker("mqtt://127.0.0.1:1", "pasar-horas", boot="0" * 16)
    return encode(talker.envelope(kind, data, 0, **{"at": NOW, **changes}))


def heard(kind: str, payload: bytes, arrived_at: datetime | None = None) -> NodeView:
    fleet = Fleet()
    fleet.hear(f"simpul/1/pasar-horas/{kind}", payload, arrived_at)
    return fleet.nodes["pasar-horas"]


def still(**changes: object) -> bytes:
    fields: dict[str, object] = {
        "node": "pasar-horas", "boot": "0" * 16, "at": NOW, "mono": 1.0, "clock_synced": True,
        "width": 640, "height": 360,
    }  # fmt: skip
    return write_still_info(TINY_JPEG, StillInfo(**{**fields, **changes}))  # type: ignore[arg-type]


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


@pytest.mark.parametrize(
    "data", [{"agent_memory_bytes": 10**400}, {"cpu_temperature_celsius": 1e308}]
)
def test_a_figure_that_cannot_be_is_garbage(data: dict[str, float]) -> None:
    fleet = Fleet()
    fleet.hear("simpul/1/pasar-horas/health", said("health", data))
    assert fleet.garbage_count == 1
    assert fleet.nodes["pasar-horas"].health is None


@settings(max_examples=30)
@given(_EXTREME)
def test_no_figure_stops_the_table(figure: float) -> None:
    """One node for each field that there is, which says this figure of it."""
    fleet = Fleet()
    needed = {
        "wifi": {"interface": "wlan0", "up": True},
        "camera": {"adapter": "x", "running": True},
    }
    for kind, model in {"health": Health, "wifi": Wifi, "camera": Camera}.items():
        for field in msgspec.structs.fields(model):
            talker = Talker("mqtt://127.0.0.1:1", f"{kind}-{field.name.replace('_', '-')}")
            data = json.dumps({**needed.get(kind, {}), field.name: figure}).encode()
            payload = encode(talker.envelope(kind, msgspec.Raw(data), 1))
            fleet.hear(f"simpul/1/{talker.name}/{kind}", payload, NOW)
    assert "health-agent-memory-bytes" in draw(*fleet.nodes.values())


def test_a_death_that_was_heard_is_of_its_arrival() -> None:
    """A last will was written at the connect, days before."""
    payload = said("state", State(online=False), at=NOW - 3 * DAY)
    assert "10 s" in draw(heard("state", payload, NOW - timedelta(seconds=10)), live=False)


@pytest.mark.parametrize(
    ("state", "changes", "since"),
    [
        (State(online=False), {"at": NOW - 3 * DAY}, "at most 3 d"),
        (State(online=False), {"at": NOW - 3 * DAY, "clock_synced": False}, "-"),
        (State(online=False), {"at": NOW + DAY}, "?"),
        (State(online=True), {"at": NOW - 3 * DAY}, "3 d"),
        (State(online=True), {"at": NOW - 3 * DAY, "clock_synced": False}, "-"),
        (State(online=True), {"at": NOW + DAY}, "?"),
        # Two clocks that are set differ a little.
        (State(online=True), {"at": NOW + timedelta(seconds=30)}, "0 s"),
    ],
)
def test_since_when_is_told_as_far_as_it_is_known(
    state: State, changes: dict[str, object], since: str
) -> None:
    (row,) = (line for line in draw(heard("state", said("state", state, **changes)), live=False)
              .splitlines() if "pasar-horas" in line)  # fmt: skip
    assert [cell.strip() for cell in row.split("│")][5] == since


def test_a_reconnect_does_not_change_when_a_node_died() -> None:
    fleet = Fleet()
    payload = said("state", State(online=False), at=NOW - 3 * DAY)
    for arrived_at in (NOW, None):
        fleet.hear("simpul/1/pasar-horas/state", payload, arrived_at)
    assert fleet.nodes["pasar-horas"].state_at == NOW


@pytest.mark.parametrize(
    ("changes", "age"),
    [
        ({"at": NOW - timedelta(seconds=5)}, "5 s"),
        ({"at": NOW + timedelta(seconds=30)}, "0 s"),
        ({"at": NOW + DAY}, "?"),
        ({"clock_synced": False}, "?"),
    ],
)
def test_a_still_of_an_unsure_time_is_not_fresh(changes: dict[str, object], age: str) -> None:
    (row,) = (line for line in draw(heard("frame", still(**changes)), live=False).splitlines()
              if "pasar-horas" in line)  # fmt: skip
    assert [cell.strip() for cell in row.split("│")][6] == age


def test_a_still_that_was_heard_as_it_was_taken_is_fresh_whatever_its_clock_says() -> None:
    fleet = Fleet()
    fleet.hear("simpul/1/pasar-horas/frame", still(clock_synced=False), NOW)
    view = fleet.nodes["pasar-horas"]
    assert (view.still_at, view.still_clock_synced) == (NOW, True)


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


FULL = NodeView(
    node="pasar-horas",
    state=State(
        online=True, title="Pasar Horas, pintu timur", site="pasar", agent_version="0.1.0",
        simulated=True,
    ),
    state_at=NOW - timedelta(hours=3),
    still_at=NOW - timedelta(seconds=5),
    health=Health(cpu_temperature_celsius=51, outbox_unsent_count=12, agent_memory_bytes=2**26),
    wifi=Wifi(interface="wlan0", up=True, stations_count=7),
    heard_at=NOW,
)  # fmt: skip


def test_on_a_narrow_terminal_the_name_stays_whole() -> None:
    text = draw(FULL, columns=80)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "…" not in text
    for words in ("pasar-horas", "online (simulated)", "3 h", "5 s", "heard"):
        assert words in text
    assert "agent" not in text
    assert "0.1.0" in draw(FULL)
    name = "simpang-empat-jalan-merdeka"
    text = draw(FULL, NodeView(node=name, state_not_before=NOW - 40 * DAY), columns=80)
    assert "…" not in text
    for words in (name, "pasar-horas", "heard"):
        assert words in text


@given(st.integers(20, 300), st.booleans())
def test_any_width_shows_what_matters(columns: int, live: bool) -> None:  # noqa: FBT001 - a case
    text = draw(FULL, live=live, columns=columns)
    assert "node" in text
    assert columns < 60 or "pasar-horas" in text


def test_after_a_loss_nothing_is_green() -> None:
    console = Console(width=80, record=True, file=io.StringIO(), force_terminal=True)
    console.print(fleet_table([FULL], live=True, now=NOW, columns=80, lost_at=NOW))
    text = console.export_text(styles=True, clear=False)
    assert "\x1b[32m" not in text
    local = NOW.astimezone()
    assert f"connection lost since {local:%H:%M:%S}" in console.export_text()
    console.print(fleet_table([FULL], live=True, now=NOW, columns=80))
    text = console.export_text(styles=True)
    assert "\x1b[32m" in text
    assert "connection lost" not in text


def test_watch_tells_that_the_broker_is_gone(broker: Mosquitto) -> None:
    with Talker(broker.url, "adam-malik") as talker:
        talker.birth()
    ours, theirs = pty.openpty()
    words = ("-m", "provisioning", "watch", "--broker", broker.url)
    with subprocess.Popen(
        [sys.executable, *words],
        stdout=theirs,
        stderr=theirs,
        env={"COLUMNS": "80", "TERM": "xterm", "PATH": "/usr/bin:/bin"},
    ) as process:
        os.close(theirs)
        try:
            assert b"adam-malik" in read_until(ours, b"adam-malik")
            broker.kill()
            assert b"connection lost since" in read_until(ours, b"connection lost since")
            process.send_signal(signal.SIGINT)
            assert process.wait() == 130
        finally:
            process.kill()
            os.close(ours)


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
