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
from services.talker import Talker
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
            node.measure()
            (kept,) = first.take(1, timeout_seconds=20)
            link.acknowledge([kept])
            node.measure()
            (lost,) = first.take(1, timeout_seconds=20)
        second = Inbox()
        with running(settings(mosquitto.url), second) as link:
            # Acknowledgements of a former connection must not reach this one.
            link.acknowledge([lost._replace(connection=0)])
            again = {each.payload for each in take_until(second, lost.payload)}
        assert lost.payload in again
        assert kept.payload not in again


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
