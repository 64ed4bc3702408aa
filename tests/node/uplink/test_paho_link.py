"""What only the real link can show: refusals, silence, TLS with certificates, TCP figures."""

import os
import socket
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.mosquitto import Mosquitto
from services.papers import make_authority, make_certificate
from services.ports import free_port

from node.errors import UplinkError
from node.settings import Uplink as UplinkSettings
from node.uplink.link import Message
from node.uplink.paho_link import PahoLink
from node.uplink.tcp_info import parse_tcp_info

WILL = Message(topic="will", payload=b"")


def connect(url: str, **papers: str) -> PahoLink:
    link = PahoLink(UplinkSettings(brokers=(url,), **papers), client_id="taman")  # type: ignore[arg-type]
    try:
        link.open(url, WILL)
    except UplinkError:
        link.abandon()
        raise
    return link


def turn_until_lost(link: PahoLink) -> None:
    for _ in range(10):
        link.turn(1)


def test_nobody_listens() -> None:
    with pytest.raises(UplinkError, match="refused"):
        connect(f"mqtt://127.0.0.1:{free_port()}")


def test_a_broker_that_refuses_says_why(tmp_path: Path) -> None:
    (tmp_path / "passwords").touch(mode=0o600)
    options = ("allow_anonymous false", f"password_file {tmp_path / 'passwords'}")
    with (
        Mosquitto(tmp_path / "broker", options=options) as broker,
        pytest.raises(UplinkError, match="refuses this node: Not authorized"),
    ):
        connect(broker.url)


def test_a_refused_subscription_ends_the_connection() -> None:
    # As a NATS cluster answers for some seconds after it lost a member.
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(bytes([0x20, 2, 0, 0]))  # CONNACK, MQTT 3.1.1 section 3.2
                subscribe = connection.recv(1000)
                connection.sendall(bytes([0x90, 3, *subscribe[2:4], 0x80]))  # SUBACK, 3.9
                connection.recv(1000)

        thread = threading.Thread(target=refuse)
        thread.start()
        link = connect(f"mqtt://127.0.0.1:{server.getsockname()[1]}")
        link.subscribe("cmd")
        with pytest.raises(UplinkError, match="refuses to pass on commands"):
            turn_until_lost(link)
        link.abandon()
        thread.join(10)


def test_a_port_that_speaks_no_mqtt(tmp_path: Path) -> None:
    del tmp_path
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n" * 10)
                connection.recv(1000)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(UplinkError):
            connect(f"mqtt://127.0.0.1:{server.getsockname()[1]}")
        thread.join(10)


def test_a_loopback_connection_has_figures(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        link = connect(broker.url)
        quality = link.quality()
        link.close()
    assert quality.round_trip_seconds is not None
    assert 0 < quality.round_trip_seconds < 1
    assert quality.loss_ratio == 0


@given(st.binary(max_size=300))
def test_any_struct_tcp_info_is_read(info: bytes) -> None:
    quality = parse_tcp_info(info)
    assert quality.round_trip_seconds is None or quality.round_trip_seconds > 0


class TestTls:
    """mqtts:// with certificates on both sides."""

    @pytest.fixture
    def papers(self, tmp_path: Path) -> Path:
        for authority in ("ca", "foreign"):
            make_authority(tmp_path, authority)
        for name in ("broker", "taman"):
            make_certificate(tmp_path, name, authority="ca")
        return tmp_path

    @pytest.fixture
    def broker(self, papers: Path, tmp_path: Path) -> Mosquitto:
        return Mosquitto(
            tmp_path / "broker",
            options=(
                f"cafile {papers / 'ca.pem'}",
                f"certfile {papers / 'broker.pem'}",
                f"keyfile {papers / 'broker.key'}",
                "require_certificate true",
            ),
        )

    def test_a_node_with_its_certificate_comes_in(self, broker: Mosquitto, papers: Path) -> None:
        with broker:
            link = connect(
                broker.url.replace("mqtt:", "mqtts:"),
                ca_file=str(papers / "ca.pem"),
                certificate_file=str(papers / "taman.pem"),
                key_file=str(papers / "taman.key"),
            )
            payload = os.urandom(200_000)
            token = link.publish(Message(topic="a", payload=payload))
            happened: list[object] = []
            while not happened:
                happened += link.turn(5)
            assert happened[0].token == token  # type: ignore[attr-defined]
            link.close()

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_a_node_without_certificate_stays_out(self, broker: Mosquitto, papers: Path) -> None:
        with broker, pytest.raises(UplinkError):
            connect(broker.url.replace("mqtt:", "mqtts:"), ca_file=str(papers / "ca.pem"))

    # paho leaves the socket of a failed handshake to the garbage collector.
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_a_broker_of_a_foreign_authority_is_refused(
        self, broker: Mosquitto, papers: Path
    ) -> None:
        with broker, pytest.raises(UplinkError, match="certificate verify failed"):
            connect(broker.url.replace("mqtt:", "mqtts:"), ca_file=str(papers / "foreign.pem"))
