"""Figures of the agent beside a bare paho client, in one run: memory, start, outbox, uplink."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from services.agent import AgentProcess
from services.mosquitto import Mosquitto
from services.waiting import until

from node.clock import FakeClock, SystemClock
from node.messages import Health, encode
from node.outbox.batch import Rank
from node.outbox.outbox import Outbox
from node.settings import Hotspot
from node.settings import Outbox as OutboxSettings
from node.settings import Uplink as UplinkSettings
from node.uplink.frame_slot import FrameSlot
from node.uplink.paho_link import PahoLink
from node.uplink.uplink import Uplink
from node.uplink.voice import Voice

pytestmark = pytest.mark.bench

MESSAGES = 20_000
BATCH = 500
_MIB = 2**20
_BARE_CLIENT = """
import sys, threading
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
client = mqtt.Client(CallbackAPIVersion.VERSION2)
client.on_connect = lambda *_: client.publish("bare", "born", qos=1)
client.connect("127.0.0.1", int(sys.argv[1]))
client.loop_start()
threading.Event().wait()
"""


def say(line: str) -> None:
    print(f"\n  {line}", end="")


def rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


def health(number: int) -> Health:
    """Return a measurement whose envelope takes about 200 bytes."""
    return Health(uptime_seconds=number * 1.37, load_1min=number % 97 / 31)


def filled(directory: Path, count: int) -> tuple[Outbox, float]:
    """Return an outbox with `count` messages and the seconds that took."""
    outbox = Outbox(
        directory / "outbox.db", OutboxSettings(), node="taman-bunga", boot="0" * 16,
        clock=SystemClock(),
    )  # fmt: skip
    outbox.commit()
    start_mono = time.perf_counter()
    for number in range(count):
        outbox.put(Rank.MEASUREMENT, "health", health(number))
        if number % BATCH == BATCH - 1:
            outbox.commit()
    return outbox, time.perf_counter() - start_mono


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as broker:
        yield broker


class Listener:
    """Hears one topic and remembers when."""

    def __init__(self, broker: Mosquitto, topic: str) -> None:
        self.heard_mono: float | None = None
        ready = threading.Event()
        self._heard = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        assert ready.wait(10)

    def _on_message(self, *_: object) -> None:
        self.heard_mono = self.heard_mono or time.perf_counter()
        self._heard.set()

    def seconds_since(self, start_mono: float) -> float:
        assert self._heard.wait(30)
        assert self.heard_mono is not None
        self._client.disconnect()
        self._client.loop_stop()
        return self.heard_mono - start_mono


def start_bare(broker: Mosquitto) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _BARE_CLIENT, str(broker.port)])


def median(measure: Callable[[], float], times: int = 5) -> float:
    return sorted(measure() for _ in range(times))[times // 2]


def test_memory_of_the_idle_agent(broker: Mosquitto, tmp_path: Path) -> None:
    listener = Listener(broker, "bare")
    bare = start_bare(broker)
    listener.seconds_since(0)
    bare_mib = rss_mib(bare.pid)
    bare.kill()
    bare.wait()
    say(f"bare paho client: {bare_mib:.1f} MiB")
    figures = {}
    for adapter in ("none", "simulated", "nl80211"):
        agent = AgentProcess(tmp_path / adapter, f"a-{adapter}", [broker.url], interval_seconds=1)
        agent.write(hotspot=Hotspot(adapter=adapter, interface="lo"))  # type: ignore[arg-type]
        listener = Listener(broker, f"simpul/1/a-{adapter}/health")
        with agent:
            listener.seconds_since(0)
            threading.Event().wait(5)  # let it settle: a few measurements, a few commits
            figures[adapter] = rss_mib(agent.pid)
        say(f"agent, hotspot {adapter}: {figures[adapter]:.1f} MiB, "
            f"{figures[adapter] / bare_mib:.2f} x bare")  # fmt: skip
    assert max(figures.values()) <= 40


def test_start_to_birth(broker: Mosquitto, tmp_path: Path) -> None:
    def bare() -> float:
        listener = Listener(broker, "bare")
        start_mono = time.perf_counter()
        process = start_bare(broker)
        seconds = listener.seconds_since(start_mono)
        process.kill()
        process.wait()
        return seconds

    agents = iter(range(100))

    def ours() -> float:
        name = f"n{next(agents)}"
        listener = Listener(broker, f"simpul/1/{name}/state")
        agent = AgentProcess(tmp_path / name, name, [broker.url])
        start_mono = time.perf_counter()
        with agent:
            return listener.seconds_since(start_mono)

    bare_seconds, our_seconds = median(bare), median(ours)
    say(f"start to first message: bare {bare_seconds:.2f} s, start to birth {our_seconds:.2f} s, "
        f"{our_seconds / bare_seconds:.2f} x")  # fmt: skip
    assert our_seconds <= 1.5


def test_enqueue(tmp_path: Path) -> None:
    outbox, seconds = filled(tmp_path, MESSAGES)
    rate = MESSAGES / seconds
    outbox.close()
    say(f"enqueue, committed in batches of {BATCH}: {rate:,.0f} messages/s")
    assert rate >= 5_000


def test_drain_to_mosquitto(broker: Mosquitto, tmp_path: Path) -> None:
    outbox, _ = filled(tmp_path, MESSAGES)
    uplink = Uplink(
        UplinkSettings(brokers=(broker.url,)),
        Voice(node="taman-bunga", birth=lambda: b"", death=lambda: b"", obey=lambda _: None),
        make_link=lambda: PahoLink(UplinkSettings(brokers=(broker.url,)), client_id="taman-bunga"),
        outbox=outbox,
        frames=FrameSlot(),
        clock=SystemClock(),
    )
    stop = threading.Event()
    thread = threading.Thread(target=uplink.run, args=(stop,))
    start_mono = time.perf_counter()
    thread.start()
    until(lambda: outbox.figures().unsent_count == 0, "an empty outbox")
    our_rate = MESSAGES / (time.perf_counter() - start_mono)
    stop.set()
    uplink.wake()
    thread.join(10)
    bare_rate = bare_drain(broker)
    say(f"drain at QoS 1: {our_rate:,.0f} messages/s, bare paho from memory {bare_rate:,.0f}, "
        f"{our_rate / bare_rate:.2f} x")  # fmt: skip
    assert our_rate >= 2_000


def bare_drain(broker: Mosquitto) -> float:
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(64)
    client.max_queued_messages_set(0)
    done, acknowledged = threading.Event(), [0]

    def on_publish(*_: object) -> None:
        acknowledged[0] += 1
        if acknowledged[0] == MESSAGES:
            done.set()

    client.on_publish = on_publish
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    payload = b"x" * 200
    start_mono = time.perf_counter()
    for _ in range(MESSAGES):
        client.publish("bare", payload, qos=1)
    assert done.wait(60)
    rate = MESSAGES / (time.perf_counter() - start_mono)
    client.disconnect()
    client.loop_stop()
    return rate


def test_bytes_written_per_payload_byte(tmp_path: Path) -> None:
    def written() -> int:
        lines = Path("/proc/self/io").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("wchar:"))

    before = written()
    outbox, _ = filled(tmp_path, MESSAGES)
    payload_bytes = 0
    while delivery := outbox.take_history():
        payload_bytes += sum(len(encode(envelope)) for envelope in delivery.envelopes)
        outbox.acknowledge(delivery)
        outbox.commit()
    outbox.close()
    ratio = (written() - before) / payload_bytes
    say(f"bytes written per payload byte ({payload_bytes / MESSAGES:.0f} B messages, stored and "
        f"marked sent): {ratio:.2f}")  # fmt: skip
    assert ratio <= 2


def test_a_day_without_uplink(tmp_path: Path) -> None:
    clock = FakeClock(wall=datetime(2026, 5, 1, tzinfo=UTC), synced=True)
    settings = OutboxSettings(bytes_max=4 * _MIB)
    outbox = Outbox(tmp_path / "o.db", settings, node="taman", boot="0" * 16, clock=clock)
    outbox.commit()

    before_mib = rss_mib(os.getpid())
    top_mib = 0.0
    for second in range(0, 86_400, 10):
        clock.advance(10)
        for number in range(20):
            outbox.put(Rank.MEASUREMENT, "health", health(second + number))
        outbox.commit()
        if second % 3600 == 0:
            top_mib = max(top_mib, rss_mib(os.getpid()) - before_mib)
    figures = outbox.figures()
    size_mib = sum(file.stat().st_size for file in tmp_path.iterdir()) / _MIB
    say(f"24 h without uplink, 2 messages/s, bound 4 MiB: {size_mib:.1f} MiB on disk, "
        f"+{top_mib:.1f} MiB of memory, {figures.unsent_count:,} kept, "
        f"{figures.sacrificed_count:,} sacrificed")  # fmt: skip
    assert figures.held_bytes <= settings.bytes_max
    assert size_mib <= 10
    assert top_mib <= 10
