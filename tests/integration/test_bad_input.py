"""Bad input and bad days, end to end: a clear message, and the agent runs on where it can."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from services.agent import AgentProcess
from services.mosquitto import Mosquitto
from services.waiting import until

from node.messages import Envelope, Health, State, decode_data, decode_envelope, topic_of
from node.settings import Camera, Identity, Outbox

NAME = "taman-bunga"


class Ear:
    """Hears everything a node says, and can speak to it."""

    def __init__(self, broker: Mosquitto) -> None:
        self.heard: list[tuple[str, bytes]] = []
        ready = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self.client.on_connect = lambda client, *_: client.subscribe(topic_of("+", "#"), qos=1)
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.on_message = lambda _c, _u, m: self.heard.append((m.topic, bytes(m.payload)))
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        assert ready.wait(10)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def of(self, kind: str) -> list[Envelope]:
        topic = topic_of(NAME, kind)
        return [decode_envelope(payload) for heard, payload in self.heard if heard == topic]

    def command(self, payload: bytes) -> None:
        self.client.publish(topic_of(NAME, "cmd"), payload, qos=1).wait_for_publish(10)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as broker:
        yield broker


@pytest.fixture
def ear(broker: Mosquitto) -> Iterator[Ear]:
    ear = Ear(broker)
    yield ear
    ear.close()


@pytest.fixture
def agent(broker: Mosquitto, tmp_path: Path) -> AgentProcess:
    return AgentProcess(tmp_path / "node", NAME, [broker.url], interval_seconds=0.2)


def test_garbage_and_oversized_commands_change_nothing(agent: AgentProcess, ear: Ear) -> None:
    with agent:
        until(lambda: bool(ear.of("health")), "the first measurement")
        for payload in (b"", b"\xff\xfe", b"{", b'{"command":"shell","id":"x"}', b"x" * 500_000):
            ear.command(payload)
        ear.command(b'{"command":"snapshot","id":"last"}')
        until(lambda: len(ear.of("reply")) > 1, "the replies")
        refused, last = (json.loads(bytes(reply.data)) for reply in ear.of("reply"))
        # Who sent what has an id is told; all the others have nobody to be answered.
        assert (refused["id"], refused["ok"]) == ("x", False)
        assert last == {"id": "last", "ok": False, "problem": "this node has no camera"}
        assert agent.running()
    assert "Traceback" not in agent.log.read_text()
    assert "xxxx" not in agent.log.read_text(), "a payload does not belong in a log"


def test_a_replay_brings_back_what_was_sent(agent: AgentProcess, ear: Ear) -> None:
    with agent:
        # On a slow machine the first ones have waited so long that they are history already.
        until(lambda: any(not e.historical for e in ear.of("health")), "a fresh measurement")
        fresh = next(e for e in ear.of("health") if not e.historical)
        wish = {"command": "replay", "id": "r1", "boot": fresh.boot}
        ear.command(json.dumps({**wish, "first": fresh.seq, "last": fresh.seq}).encode())
        until(lambda: sum(e.seq == fresh.seq for e in ear.of("health")) == 2, "it again")
        again = [e for e in ear.of("health") if e.seq == fresh.seq]
        assert [e.historical for e in again] == [False, True]
        assert again[0].data == again[1].data


def test_a_corrupt_outbox_is_set_aside_and_told(agent: AgentProcess, ear: Ear) -> None:
    agent.state.mkdir()
    (agent.state / "outbox.db").write_bytes(b"not a database at all" * 500)
    with agent:
        until(lambda: bool(ear.of("event/outbox-damaged")), "the event")
        until(lambda: bool(ear.of("health")), "a measurement")
    assert (agent.state / "outbox.db.damaged").exists()


def test_an_impossible_mask_stops_pictures_and_nothing_else(
    agent: AgentProcess, ear: Ear, tmp_path: Path
) -> None:
    mask = tmp_path / "mask.toml"
    mask.write_text('[[region]]\nname = "door"\npolygon = [[0.1, 0.1], [7, 0.2]]\n')
    agent.write(camera=Camera(adapter="rendered", mask_file=str(mask), still_interval_seconds=0.2))
    result = check(agent.file)
    assert result.returncode == 2
    assert f"{mask}:" in result.stderr
    with agent:
        until(lambda: bool(ear.of("event/source-failed")), "the event")
        failed = json.loads(bytes(ear.of("event/source-failed")[0].data))
        assert failed["source"] == "camera"
        assert "mask" in failed["reason"]
        until(lambda: len(ear.of("health")) >= 2, "measurements")
        assert not [topic for topic, _ in ear.heard if topic.endswith("/frame")]


def test_a_node_whose_broker_is_absent_waits_and_loses_nothing(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path / "broker")
    agent = AgentProcess(tmp_path / "node", NAME, [broker.url], interval_seconds=0.05)
    with agent:
        until((agent.state / "outbox.db").exists, "the outbox")
        until(lambda: sum(last for b in agent.committed().values() for _, last in b) > 20, "load")
        with broker:
            ear = Ear(broker)
            until(lambda: bool(ear.of("health")), "the connection")

            def seqs() -> set[int]:
                return {e.seq for kind in ("health", "wifi") for e in ear.of(kind)}

            until(lambda: set(range(1, 20)) <= seqs(), "the backlog")
            assert any(e.historical for e in ear.of("health"))
            ear.close()
    assert "Connection refused" in agent.log.read_text()
    assert "Traceback" not in agent.log.read_text()


def test_a_full_disk_is_told_and_costs_no_fresh_measurement(
    agent: AgentProcess, ear: Ear, small_disk: Path
) -> None:
    hog = small_disk / "hog"
    with hog.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    agent.write(
        node=Identity(name=NAME, state_directory=str(small_disk / "state")),
        outbox=Outbox(commit_interval_seconds=0.1),
    )

    def volatile() -> list[bool | None]:
        return [decode_data(envelope, Health).outbox_volatile for envelope in ear.of("health")]

    with agent:
        until(lambda: volatile()[-1:] == [True], "a measurement from a full disk")
        hog.unlink()
        until(lambda: volatile()[-1:] == [False], "the disk's return")
        seqs = {e.seq for kind in ("health", "wifi") for e in ear.of(kind)}
        assert seqs == set(range(1, max(seqs) + 1))
    log = agent.log.read_text()
    assert "memory only" in log
    assert "accepts the outbox again" in log
    assert "Traceback" not in log


def test_a_machine_whose_clock_says_1970(agent: AgentProcess, ear: Ear, tmp_path: Path) -> None:
    # The first process lives in 1970; the second, on the same outbox, in the present.
    program = (
        "import sys; from datetime import UTC, datetime; import node.clock as c;"
        "c.SystemClock.wall = lambda self: datetime.fromtimestamp(self.mono() % 1000, UTC);"
        "c.SystemClock.synced = lambda self: False;"
        "from node.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    del tmp_path
    process = subprocess.Popen(
        [sys.executable, "-c", program, "agent", "--config", str(agent.file)],
        stderr=subprocess.DEVNULL,
    )
    until(lambda: bool(ear.of("health")), "a measurement from 1970")
    envelope = ear.of("health")[0]
    assert envelope.at.year == 1970
    assert not envelope.clock_synced
    process.kill()
    process.wait()
    old_boot = envelope.boot
    with agent:
        until(lambda: ear.of("state")[-1].boot != old_boot, "the birth of the present")
        state = decode_data(ear.of("state")[-1], State)
        assert old_boot in {ledger.boot for ledger in state.ledgers}, "1970 is not too old to keep"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[node", "not valid TOML"),
        ('[node]\nname = "x"\n[uplink]\nbrokers = ["http://a"]\n', ":4: uplink.brokers"),
        ('[node]\nname = "x"\ncolour = 1\n', ":3: node.colour"),
    ],
)
def test_a_broken_settings_file_is_explained(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "node.toml"
    file.write_text(text)
    for result in (check(file), run("agent", "--config", str(file))):
        assert result.returncode == 2
        assert words in result.stderr
        assert str(file) in result.stderr
        assert "Traceback" not in result.stderr


def check(file: Path) -> subprocess.CompletedProcess[str]:
    return run("check", str(file))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "node", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
