"""What a test of the bench says when the node did not do what it waited for."""

import datetime as dt
from pathlib import Path

import msgspec
import pytest
from paho.mqtt.publish import single
from services.mosquitto import Mosquitto

from hil_tests.bench.traffic import Traffic
from node.messages import Envelope, SourceFailed, encode

FAILED = SourceFailed(
    source="board", reason="lines cannot be claimed", failures_count=3, retry_seconds=2.0
)


def test_it_says_what_was_heard_and_why_a_part_failed(tmp_path: Path) -> None:
    envelope = Envelope(
        node="kartu-uji",
        boot="0123456789abcdef",
        seq=1,
        at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        mono=1.0,
        clock_synced=True,
        historical=False,
        kind="event/source-failed",
        data=msgspec.Raw(encode(FAILED)),
    )
    with (
        Mosquitto(tmp_path) as broker,
        Traffic("127.0.0.1", broker.port) as traffic,
    ):
        topic = "simpul/1/kartu-uji/event/source-failed"
        single(topic, encode(envelope), qos=1, hostname="127.0.0.1", port=broker.port)
        traffic.wait_for("event/source-failed", since=0, timeout_seconds=10, that=bool)
        said = r"no such frame .*; heard: event/source-failed \(board: lines cannot be claimed\)$"
        with pytest.raises(TimeoutError, match=said):
            traffic.wait_for("frame", since=0, timeout_seconds=0, that=lambda _: True)
        with pytest.raises(TimeoutError, match="heard: nothing"):
            traffic.wait_for("frame", since=traffic.count(), timeout_seconds=0, that=bool)
