"""The way to the broker: TLS with client certificates, several brokers, refusals."""

import logging
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from services.mosquitto import Mosquitto
from services.ports import free_port
from services.talker import TINY_JPEG, Talker
from services.waiting import until

from hub.collector.inbox import Delivery, Inbox
from hub.collector.link import Link
from hub.settings import Broker
from node.messages import session_name


@contextmanager
def running(settings: Broker, inbox: Inbox, *, password: str = "") -> Iterator[Link]:
    link = Link(settings, inbox, password=password)
    thread = threading.Thread(target=link.run)
    thread.start()
    try:
        yield link
    finally:
        link.stop()
        thread.join(10)
        assert not thread.is_alive()
        link.close()


def settings(*urls: str, **changes: object) -> Broker:
    fields: dict[str, object] = {"backoff_min_seconds": 0.05, "keepalive_seconds": 5}
    return Broker(urls=urls, **{**fields, **changes})  # type: ignore[arg-type]


def test_the_next_broker_is_tried_and_the_problem_told_once(
    mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    inbox = Inbox()
    dead = [f"mqtt://127.0.0.1:{free_port()}" for _ in range(3)]
    with (
        caplog.at_level(logging.INFO),
        running(settings(*dead, mosquitto.url), inbox),
        Talker(mosquitto.url, "pasar-horas") as node,
    ):
        node.birth()
        assert inbox.take(10, timeout_seconds=20)
    assert len([record for record in caplog.records if "no connection" in record.message]) == 1


def test_what_is_not_acknowledged_comes_again(mosquitto: Mosquitto) -> None:
    with Talker(mosquitto.url, "pasar-horas") as node:
        first = Inbox()
        with running(settings(mosquitto.url), first) as link:
            node.birth()
            assert first.take(1, timeout_seconds=20)
            kept = take_until(first, node.outbox[node.measure()])[-1]
            link.acknowledge([kept])
            lost = take_until(first, node.outbox[node.measure()])[-1]
        second = Inbox()
        with running(settings(mosquitto.url), second) as link:
            # Acknowledgements of a former connection must not reach this one.
            link.acknowledge([lost._replace(connection=0)])
            again = {each.payload for each in take_until(second, lost.payload)}
        assert lost.payload in again
        assert kept.payload not in again


def test_states_have_room_in_a_queue_that_stills_fill(tmp_path: Path) -> None:
    nodes = {f"node-{number}" for number in range(20)}
    with small_broker(tmp_path, queued_bytes=20_000) as broker:
        for name in sorted(nodes):
            with Talker(broker.url, name) as node:
                node.still(TINY_JPEG[:-2] + bytes(4000) + TINY_JPEG[-2:])
                node.birth()
        inbox = Inbox()
        with running(settings(broker.url), inbox) as link:
            until(lambda: link.connected, "the subscription")
            take_states(link, inbox, nodes)


def test_states_that_found_no_room_are_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.collector.connection._STATES_AGAIN_SECONDS", 0.2)
    with (
        small_broker(tmp_path, queued_bytes=4000) as broker,
        Talker(broker.url, "pasar-horas") as node,
    ):
        with running(settings(broker.url), Inbox()) as link:
            until(lambda: link.connected, "the session to be there")
        for _ in range(100):
            node.measure()
        node.birth()  # the queue is full
        inbox = Inbox()
        with running(settings(broker.url), inbox) as link:
            until(lambda: link.connected, "the subscription")
            take_states(link, inbox, {"pasar-horas"})


def small_broker(directory: Path, *, queued_bytes: int) -> Mosquitto:
    """Return a broker that queues little and sends one message at a time."""
    return Mosquitto(
        directory / "mosquitto", in_flight_max=1, options=(f"max_queued_bytes {queued_bytes}",)
    )


def take_states(link: Link, inbox: Inbox, nodes: set[str]) -> None:
    """Take and acknowledge what comes until there was a retained state of each of `nodes`."""
    lacking = set(nodes)
    while lacking:
        batch = inbox.take(10, timeout_seconds=5)
        assert batch, f"no state of {sorted(lacking)}"
        link.acknowledge(batch)
        for each in batch:
            if each.retained and each.topic.endswith("/state"):
                lacking.discard(each.topic.split("/")[2])


def test_nobody_can_guess_the_session_that_waits_for_the_collector(mosquitto: Mosquitto) -> None:
    own = settings(mosquitto.url, username="simpul-hub")
    with Talker(mosquitto.url, "pasar-horas") as node:
        with running(own, Inbox(), password="rahasia") as link:  # noqa: S106 - nobody's
            until(lambda: link.connected, "the session to be there")
        take_session(mosquitto.port, own.client_id)
        seq = node.measure()
        inbox = Inbox()
        with running(own, inbox, password="rahasia"):  # noqa: S106 - nobody's
            take_until(inbox, node.outbox[seq])


def test_without_a_password_the_session_has_the_plain_name() -> None:
    assert session_name("simpul-hub", b"") == "simpul-hub"
    names = {session_name("simpul-hub", password) for password in (b"a", b"b")}
    assert len(names) == 2
    assert all(re.fullmatch("simpul-hub-[0-9a-f]{16}", name) for name in names)


def take_session(port: int, name: str) -> None:
    """Connect as `name`, which ends whatever session of that name there is."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=True)
    there = threading.Event()
    client.on_connect = lambda *_: there.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert there.wait(10)
    client.disconnect()
    client.loop_stop()


def take_until(inbox: Inbox, payload: bytes) -> list[Delivery]:
    taken: list[Delivery] = []
    while not taken or taken[-1].payload != payload:
        batch = inbox.take(1, timeout_seconds=20)
        assert batch, "the message did not come again"
        taken += batch
    return taken


@pytest.mark.parametrize("certified", [True, False])
def test_tls_with_a_client_certificate(tmp_path: Path, *, certified: bool) -> None:
    certificates(tmp_path)
    options = (
        f"cafile {tmp_path}/ca.pem", f"certfile {tmp_path}/server.pem",
        f"keyfile {tmp_path}/server.key", "require_certificate true",
    )  # fmt: skip
    own = (
        {"certificate_file": f"{tmp_path}/hub.pem", "key_file": f"{tmp_path}/hub.key"}
        if certified
        else {}
    )
    with Mosquitto(tmp_path / "mosquitto", options=options) as broker:
        url = broker.url.replace("mqtt://", "mqtts://")
        with running(settings(url, ca_file=f"{tmp_path}/ca.pem", **own), Inbox()) as link:
            assert link._connected.wait(20 if certified else 1) is certified


def certificates(directory: Path) -> None:
    """Make a certificate authority, and from it a broker's and a hub's certificate."""
    openssl(directory, "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
            "-keyout ca.key -out ca.pem -subj /CN=ca -days 2")  # fmt: skip
    (directory / "san").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in ("server", "hub"):
        openssl(directory, "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
                f"-keyout {name}.key -out {name}.csr -subj /CN={name}")  # fmt: skip
        openssl(directory, f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial "
                f"-out {name}.pem -days 2 -extfile san")  # fmt: skip


def openssl(directory: Path, arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], cwd=directory, check=True, capture_output=True)
