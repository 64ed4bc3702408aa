"""Who knows a node's name alone cannot put it out, not even with a certificate of the fleet."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from services.mosquitto import Mosquitto
from services.papers import make_authority, make_certificate
from services.waiting import until

from node.errors import UplinkError
from node.settings import Uplink
from node.uplink.client_id import client_id_of
from node.uplink.link import Message
from node.uplink.paho_link import PahoLink

NAME = "taman"
BROKERS = ("mqtts://127.0.0.1:1",)


def with_key(file: Path, key: bytes) -> Uplink:
    file.write_bytes(key)
    return Uplink(brokers=BROKERS, key_file=str(file))


def test_without_a_key_it_is_the_name_alone() -> None:
    assert client_id_of(NAME, Uplink(brokers=BROKERS)) == NAME


def test_it_stays_the_same_as_long_as_the_key_does(tmp_path: Path) -> None:
    mine, other = with_key(tmp_path / "mine", b"mine"), with_key(tmp_path / "other", b"other")
    assert client_id_of(NAME, mine) == client_id_of(NAME, mine)
    assert re.fullmatch(r"taman-[0-9a-f]{16}", client_id_of(NAME, mine))
    assert client_id_of(NAME, mine) != client_id_of(NAME, other)
    assert client_id_of(f"{NAME}-releases", mine)[-16:] != client_id_of(NAME, mine)[-16:]


def test_a_key_that_cannot_be_read_is_an_uplink_error(tmp_path: Path) -> None:
    with pytest.raises(UplinkError, match="No such file"):
        client_id_of(NAME, Uplink(brokers=BROKERS, key_file=str(tmp_path / "none")))


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    make_authority(tmp_path, "ca")
    for name in ("broker", NAME, "other"):
        make_certificate(tmp_path, name, authority="ca")
    return tmp_path


@pytest.fixture
def broker(papers: Path) -> Iterator[Mosquitto]:
    options = (
        f"cafile {papers / 'ca.pem'}",
        f"certfile {papers / 'broker.pem'}",
        f"keyfile {papers / 'broker.key'}",
        "require_certificate true",
        "use_identity_as_username true",
    )
    with Mosquitto(papers / "broker", options=options) as broker:
        yield broker


def uplink_of(name: str, papers: Path, broker: Mosquitto) -> Uplink:
    return Uplink(
        brokers=(broker.url.replace("mqtt:", "mqtts:"),),
        ca_file=str(papers / "ca.pem"),
        certificate_file=str(papers / f"{name}.pem"),
        key_file=str(papers / f"{name}.key"),
    )


@contextmanager
def node_running(words: list[str], papers: Path, broker: Mosquitto) -> Iterator[None]:
    uplink = uplink_of(NAME, papers, broker)
    file = papers / "root/etc/simpul/node.toml"
    file.parent.mkdir(parents=True)
    file.write_text(
        f"""
[node]
name = "{NAME}"
state_directory = "{papers / "state"}"
[uplink]
brokers = ["{uplink.brokers[0]}"]
ca_file = "{uplink.ca_file}"
certificate_file = "{uplink.certificate_file}"
key_file = "{uplink.key_file}"
"""
    )
    with (papers / "node.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "node", *(word.format(papers / "root") for word in words)],
            stderr=log,
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["agent", "--config={}/etc/simpul/node.toml"], NAME),
        (["install", "follow", "--root={}"], f"{NAME}-releases"),
    ],
)
def test_another_node_that_takes_its_name_does_not_put_it_out(
    broker: Mosquitto, papers: Path, words: list[str], name: str
) -> None:
    log = broker.directory / "mosquitto.log"
    with node_running(words, papers, broker):
        until(lambda: f" as {name}" in log.read_text(), "the node at the broker")
        uplink = uplink_of("other", papers, broker)
        intruder = PahoLink(uplink, client_id=name)
        intruder.open(uplink.brokers[0], Message(topic="will", payload=b""))
        intruder.close()
    said = log.read_text()
    assert re.search(rf" as {name}-[0-9a-f]{{16}} .*u'{NAME}'", said)
    assert "already connected" not in said
