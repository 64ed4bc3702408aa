"""No address and no masked pixel leaves a node: payloads, logs and databases are searched."""

import threading
from pathlib import Path

import numpy as np
import paho.mqtt.client as mqtt
import simplejpeg
from paho.mqtt.enums import CallbackAPIVersion
from services.agent import AgentProcess
from services.collector import Collector
from services.mosquitto import Mosquitto
from services.privacy import find_addresses
from services.waiting import until

from node.clock import SystemClock
from node.hotspot.source import open_radio
from node.messages import parse_topic
from node.settings import Camera

NAME = "pasar-horas"
MASK = """
[[region]]
name = "window"
polygon = [[0.1, 0.1], [0.45, 0.15], [0.4, 0.6], [0.12, 0.5]]

[[region]]
name = "door"
polygon = [[0.7, 0.55], [0.9, 0.5], [0.85, 0.95]]
"""
POLYGONS = (
    ((0.1, 0.1), (0.45, 0.15), (0.4, 0.6), (0.12, 0.5)),
    ((0.7, 0.55), (0.9, 0.5), (0.85, 0.95)),
)


def inside(polygon: tuple[tuple[float, float], ...], width: int, height: int) -> np.ndarray:
    """Return which pixels have their centre inside a polygon, by the even-odd rule."""
    x = (np.arange(width) + 0.5)[None, :] / width
    y = (np.arange(height) + 0.5)[:, None] / height
    odd = np.zeros((height, width), dtype=bool)
    for (x1, y1), (x2, y2) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        crosses = (y1 > y) != (y2 > y)
        odd ^= crosses & (x < (x2 - x1) * (y - y1) / (y2 - y1 + 1e-12) + x1)
    return odd


def test_nothing_private_leaves_the_node(tmp_path: Path) -> None:
    mask = tmp_path / "mask.toml"
    mask.write_text(MASK)
    heard: list[tuple[str, bytes]] = []
    ready = threading.Event()
    ear = mqtt.Client(CallbackAPIVersion.VERSION2)
    ear.on_connect = lambda client, *_: client.subscribe("#", qos=1)
    ear.on_subscribe = lambda *_: ready.set()
    ear.on_message = lambda _c, _u, message: heard.append((message.topic, bytes(message.payload)))

    def of(kind: str) -> list[bytes]:
        return [payload for topic, payload in heard if parse_topic(topic) == (NAME, kind)]

    with Mosquitto(tmp_path / "broker") as broker:
        ear.connect("127.0.0.1", broker.port)
        ear.loop_start()
        assert ready.wait(10)
        agent = AgentProcess(tmp_path / "node", NAME, [broker.url], interval_seconds=0.2)
        agent.write(
            camera=Camera(
                adapter="rendered",
                width=640,
                height=368,
                mask_file=str(mask),
                still_interval_seconds=0.3,
            )
        )
        database = tmp_path / "hub.db"
        collector = Collector(
            tmp_path / "hub", brokers=[broker.url], database=f"sqlite:///{database}"
        )
        with collector, agent:
            until(lambda: len(of("frame")) >= 5, "stills")
            until(lambda: len(of("wifi")) >= 10, "hotspot measurements")
            until(lambda: any(collector.public.glob("stills/*.jpg")), "the public still")
        ear.disconnect()
        ear.loop_stop()

        radio = open_radio(agent.settings, SystemClock())
        addresses = [station.address for station in radio.read().stations]
        assert addresses, "there was somebody to protect"
        files = [file for file in tmp_path.rglob("*") if file.is_file()]
        assert {"outbox.db", "hub.db", "agent.log", "collector.log"} <= {f.name for f in files}
        for file in files:
            if file.suffix != ".jpg":
                assert not find_addresses(file.read_bytes(), addresses), file
        for topic, payload in heard:
            if not topic.endswith("/frame"):
                assert not find_addresses(payload, addresses), topic
        stills = [*of("frame"), *(f.read_bytes() for f in collector.public.glob("stills/*.jpg"))]
    for still in stills:
        picture = simplejpeg.decode_jpeg(still)
        height, width = picture.shape[:2]
        for polygon in POLYGONS:
            masked = picture[inside(polygon, width, height)]
            assert len(masked) > 1000
            assert not masked.any(), "a masked pixel is not black"
        assert picture.mean() > 20, "there is a picture around the masks"
