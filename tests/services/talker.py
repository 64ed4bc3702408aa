"""Speaks as a node does, with an outbox in memory: for tests of whoever listens."""

import json
import secrets
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Self

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from node.messages import (
    BootLedger,
    Envelope,
    Reply,
    Seqs,
    State,
    StillInfo,
    Wifi,
    decode_command,
    encode,
    topic_of,
    write_still_info,
)

# The smallest thing that starts and ends as a JPEG does.
TINY_JPEG = bytes.fromhex("ffd8ffdb004300" + "01" * 64 + "ffd9")


class Talker:
    """One node at a broker, mqtt://host:port."""

    def __init__(self, url: str, name: str, *, boot: str = "") -> None:
        host, port = url.removeprefix("mqtt://").rsplit(":", 1)
        self._host, self._port = host, int(port)
        self.name = name
        self.boot = boot or secrets.token_hex(8)
        self.outbox: dict[int, bytes] = {}
        self.sacrificed: set[int] = set()
        self.asked: list[object] = []
        self.heard_command = threading.Event()
        self._lock = threading.Lock()
        self._mono = 100.0
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"node-{name}")
        self._client.on_message = self._command
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._connected = threading.Event()
        self._client.max_inflight_messages_set(200)
        self._client.max_queued_messages_set(0)

    def __enter__(self) -> Self:
        self._client.connect(self._host, self._port)
        self._client.loop_start()
        assert self._connected.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def envelope(self, kind: str, data: object, seq: int, **changes: object) -> Envelope:
        """Return an envelope of this node; `changes` replace fields."""
        self._mono += 0.01
        fields: dict[str, object] = {
            "node": self.name, "boot": self.boot, "seq": seq, "at": datetime.now(UTC),
            "mono": self._mono, "clock_synced": True, "historical": False, "kind": kind,
            "data": msgspec.Raw(msgspec.json.encode(data)),
        }  # fmt: skip
        return Envelope(**{**fields, **changes})  # type: ignore[arg-type]

    def birth(self, *, online: bool = True, wait: bool = True, **fields: object) -> None:
        """Publish the birth, or the death, retained."""
        known: dict[str, object] = {"title": self.name.title(), "camera": True, "hotspot": True}
        last = max([0, *self.outbox, *self.sacrificed])
        ledgers = (BootLedger(boot=self.boot, last_seq=last),) if online and last else ()
        state = State(online=online, ledgers=ledgers, **{**known, **fields})  # type: ignore[arg-type]
        self.publish("state", encode(self.envelope("state", state, 0)), retain=True, wait=wait)

    def measure(self, *, send: bool = True, users: int = 7, data: object = None) -> int:
        """Measure the hotspot, keep it, and publish it unless told not to; return its seq."""
        seq = max([0, *self.outbox, *self.sacrificed]) + 1
        wifi = data or Wifi(interface="wlan0", up=True, stations_count=users)
        payload = encode(self.envelope("wifi", wifi, seq))
        with self._lock:
            self.outbox[seq] = payload
        if send:
            self.publish("wifi", payload)
        return seq

    def sacrifice(self, seqs: Iterable[int]) -> None:
        """Forget measurements, as a full outbox does."""
        with self._lock:
            for seq in seqs:
                self.outbox.pop(seq, None)
                self.sacrificed.add(seq)

    def still(self, jpeg: bytes = TINY_JPEG, *, node: str = "", **changes: object) -> None:
        """Publish a still, retained."""
        self._mono += 0.01
        fields: dict[str, object] = {
            "node": node or self.name, "boot": self.boot, "at": datetime.now(UTC),
            "mono": self._mono, "clock_synced": True, "width": 640, "height": 360,
        }  # fmt: skip
        info = StillInfo(**{**fields, **changes})  # type: ignore[arg-type]
        self.publish("frame", write_still_info(jpeg, info), retain=True)

    def publish(
        self, kind: str, payload: bytes, *, retain: bool = False, wait: bool = False
    ) -> None:
        """Publish anything below the node's topic."""
        info = self._client.publish(topic_of(self.name, kind), payload, qos=1, retain=retain)
        if wait:
            info.wait_for_publish(timeout=20)

    def _on_connect(self, client: paho.Client, *_: object) -> None:
        client.subscribe(topic_of(self.name, "cmd"), qos=1)

    def _on_subscribe(
        self,
        client: paho.Client,
        _userdata: object,
        _mid: int,
        reasons: list[ReasonCode],
        _properties: object,
    ) -> None:
        # A cluster that elects a leader refuses for some seconds; deaf for ever would be worse.
        if any(reason.is_failure for reason in reasons):
            client.subscribe(topic_of(self.name, "cmd"), qos=1)
            return
        self._connected.set()

    def _command(self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        command = decode_command(bytes(message.payload))
        self.asked.append(command)
        self.heard_command.set()
        first, last = command.first, command.last  # type: ignore[union-attr]
        with self._lock:
            held = sorted(seq for seq in self.outbox if first <= seq <= last)
            gone = sorted(seq for seq in self.sacrificed if first <= seq <= last)
        for seq in held:
            late = {**json.loads(self.outbox[seq]), "historical": True}
            self.publish("wifi", json.dumps(late).encode())
        reply = Reply(
            id=command.id,
            ok=True,
            boot=command.boot,  # type: ignore[union-attr]
            gone=tuple(Seqs(first=seq, last=seq) for seq in gone),
        )
        self.publish("reply", encode(self.envelope("reply", reply, 0)))


__all__ = ["TINY_JPEG", "Talker"]
