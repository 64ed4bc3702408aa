"""A picture "taken now" was taken now: what a real broker kept is never passed off as one."""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from services.mosquitto import Mosquitto, mosquitto_program
from services.slow_link import SlowLink
from services.talker import TINY_JPEG, Talker

from node.messages import Reply, Snapshot, decode_command, encode, read_still_info
from provisioning.__main__ import main
from provisioning.authority.authority import Authority

pytestmark = [
    pytest.mark.skipif(mosquitto_program() is None, reason="mosquitto is not installed"),
    pytest.mark.timeout(300),
]
NODE = "pasar-horas"
BIG_JPEG = TINY_JPEG[:-2] + bytes(600_000) + TINY_JPEG[-2:]


class Photographer(Talker):
    """A node that obeys, and sends a picture only while its camera works."""

    def __init__(self, url: str, *, works: bool) -> None:
        super().__init__(url, NODE)
        self._works = works

    def _command(self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        command = decode_command(bytes(message.payload))
        assert isinstance(command, Snapshot)
        reply = Reply(id=command.id, ok=True)
        self.publish("reply", encode(self.envelope("reply", reply, 0)))
        if self._works:
            self.still()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker", options=("log_type subscribe",)) as started:
        yield started


@pytest.fixture
def options(authority: Authority, tmp_path: Path) -> list[str]:
    key = tmp_path / "key"
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(words, check=True)
    (tmp_path / "inventory.ini").write_text(f"[pasar]\n{NODE}\n[nodes:children]\npasar\n")
    (tmp_path / "pictures").mkdir()
    return [
        f"--inventory={tmp_path / 'inventory.ini'}",
        f"--register={authority.register.file}",
        f"--audit={tmp_path / 'audit.jsonl'}",
        f"--identity={key}",
        f"--output={tmp_path / 'pictures'}",
    ]


def test_a_kept_picture_that_comes_late_is_not_the_one_taken_now(
    broker: Mosquitto, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its camera has died since; over the slow link the old picture takes three seconds."""
    with Photographer(broker.url, works=False) as node:
        node.still(BIG_JPEG, at=datetime.now(UTC) - timedelta(days=30))
        with SlowLink(broker.port, bytes_per_s=200_000) as link:
            slow = f"--broker=mqtt://127.0.0.1:{link.port}"
            assert main(["snapshot", NODE, "--within=8", slow, *options]) == 3
            assert link.carried_bytes > len(BIG_JPEG)
    assert "obeyed, but no picture came" in capsys.readouterr().out
    assert list((tmp_path / "pictures").iterdir()) == []


def test_a_kept_picture_of_tomorrow_hides_none_taken_now(
    broker: Mosquitto, options: list[str], tmp_path: Path
) -> None:
    """As a node leaves it whose clock was wrong."""
    with Photographer(broker.url, works=True) as node:
        node.still(at=datetime.now(UTC) + timedelta(days=1))
        words = [f"--broker={broker.url}", "--within=10", *options]
        assert main(["snapshot", NODE, *words]) == 0
    (file,) = (tmp_path / "pictures").iterdir()
    assert read_still_info(file.read_bytes()).at < datetime.now(UTC)


def test_a_picture_of_another_node_on_this_ones_topic_is_nobodys(
    broker: Mosquitto, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    class Mistaken(Photographer):
        def still(self, jpeg: bytes = TINY_JPEG, *, node: str = "", **changes: object) -> None:
            super().still(jpeg, node=node or "taman-bunga", **changes)

    with Mistaken(broker.url, works=True):
        assert main(["snapshot", NODE, f"--broker={broker.url}", "--within=2", *options]) == 3
    assert "obeyed, but no picture came" in capsys.readouterr().out


def test_of_the_fleet_nobody_is_heard_but_who_was_named(
    broker: Mosquitto, options: list[str]
) -> None:
    words = [f"--broker={broker.url}", *options]
    with Photographer(broker.url, works=True):
        assert main(["snapshot", NODE, *words]) == 0
    log = (broker.directory / "mosquitto.log").read_text()
    asked = {word for line in log.splitlines() for word in line.split() if "simpul/1/" in word}
    assert asked == {f"simpul/1/{NODE}/{kind}" for kind in ("cmd", "reply", "frame")}
