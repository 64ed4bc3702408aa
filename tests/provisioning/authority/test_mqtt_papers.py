"""What the authority signs for MQTT, seen against a real Mosquitto and Python's strict TLS."""

import os
import signal
import ssl
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from services.mosquitto import Mosquitto, mosquitto_program
from services.waiting import until

from provisioning.authority import x509
from provisioning.authority.authority import Authority
from provisioning.authority.errors import AuthorityError, RequestError
from provisioning.register import Register

# All that Mosquitto 2.0 says of a certificate that is revoked, expired or of another authority.
REFUSAL = "certificate verify failed"
pytestmark = pytest.mark.skipif(mosquitto_program() is None, reason="Mosquitto is not installed")


def request(folder: Path, name: str, *, key: str = "", subject: str = "") -> bytes:
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    subprocess.run(
        [
            *("openssl", "req", "-new", "-nodes", *(key.split() or curve)),
            *("-subj", subject or f"/CN={name}"),
            *("-keyout", folder / f"{name}.key", "-out", folder / f"{name}.csr"),
        ],
        check=True,
        capture_output=True,
    )
    return (folder / f"{name}.csr").read_bytes()


def enrolled(authority: Authority, passphrase: bytes, folder: Path, name: str) -> None:
    signer = authority.unlock(passphrase, "mqtt")
    (folder / f"{name}.pem").write_bytes(signer.mqtt_client(name, request(folder, name)))


@pytest.fixture
def papers(authority: Authority, passphrase: bytes, tmp_path: Path) -> Path:
    folder = tmp_path / "papers"
    folder.mkdir()
    signer = authority.unlock(passphrase, "mqtt")
    asked = request(folder, "broker", subject="/CN=localhost")
    (folder / "broker.pem").write_bytes(signer.mqtt_broker(["localhost", "127.0.0.1"], asked))
    publish(authority, passphrase, folder)
    return folder


def publish(authority: Authority, passphrase: bytes, folder: Path) -> None:
    for name, content in authority.publish(passphrase).items():
        (folder / name).write_bytes(content)


@pytest.fixture
def broker(papers: Path, tmp_path: Path) -> Iterator[Mosquitto]:
    made = Mosquitto(
        tmp_path / "broker",
        options=(
            f"cafile {papers / 'mqtt-ca.pem'}",
            f"crlfile {papers / 'mqtt.crl'}",
            f"certfile {papers / 'broker.pem'}",
            f"keyfile {papers / 'broker.key'}",
            "require_certificate true",
            "use_identity_as_username true",
            f"acl_file {tmp_path / 'acl'}",
        ),
    )
    (tmp_path / "acl").write_text("pattern readwrite simpul/1/%u/#\n")
    with made:
        yield made


def strict(papers: Path, name: str) -> ssl.SSLContext:
    """Verify as Python 3.13 does by default, on every Python."""
    context = ssl.create_default_context(cafile=papers / "mqtt-ca.pem")
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    context.load_cert_chain(papers / f"{name}.pem", papers / f"{name}.key")
    return context


def comes_in(broker: Mosquitto, papers: Path, name: str) -> bool:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name)
    answers: list[bool] = []
    client.on_connect = lambda *parts: answers.append(not parts[3].is_failure)
    client.on_disconnect = lambda *_: answers.append(False)
    client.tls_set_context(strict(papers, name))
    try:
        client.connect("127.0.0.1", broker.port)
        while not answers:
            client.loop(1)
    except (ssl.SSLError, ConnectionError):
        return False
    finally:
        client.disconnect()
        client.loop(0.1)
    return answers[0]


def test_a_valid_node_comes_in_and_is_named_by_its_certificate(
    broker: Mosquitto, authority: Authority, passphrase: bytes, papers: Path
) -> None:
    enrolled(authority, passphrase, papers, "taman-bunga")
    assert comes_in(broker, papers, "taman-bunga")
    assert "u'taman-bunga'" in (broker.directory / "mosquitto.log").read_text()


def test_a_revoked_node_stays_out_after_the_broker_took_the_list(
    broker: Mosquitto, authority: Authority, passphrase: bytes, papers: Path
) -> None:
    for name in ("taman-bunga", "pasar-horas"):
        enrolled(authority, passphrase, papers, name)
        assert comes_in(broker, papers, name)
    assert authority.revoke("taman-bunga") == 1
    publish(authority, passphrase, papers)
    assert broker._process
    os.kill(broker._process.pid, signal.SIGHUP)
    until(lambda: not comes_in(broker, papers, "taman-bunga"), "the broker to take the list")
    # A broker amid its reload turns everybody away; by and by it says why.
    until(
        lambda: not comes_in(broker, papers, "taman-bunga") and REFUSAL in said(broker),
        "the broker to refuse a revoked certificate",
    )
    assert comes_in(broker, papers, "pasar-horas")


def clock_ahead(days: int) -> type[datetime]:
    class Ahead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.now(tz) + timedelta(days=days)

    return Ahead


def test_a_list_of_a_clock_that_was_ahead_is_followed_by_one_of_now(
    papers: Path,
    broker: Mosquitto,
    authority: Authority,
    passphrase: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    enrolled(authority, passphrase, papers, "taman-bunga")
    with monkeypatch.context() as wrong:
        wrong.setattr("provisioning.authority.authority.datetime", clock_ahead(400))
        publish(authority, passphrase, papers)
        wrong.setattr("provisioning.authority.authority.datetime", clock_ahead(40_000))
        with pytest.raises(AuthorityError, match=r"ended on .* if this machine's clock is right"):
            publish(authority, passphrase, papers)
    assert broker._process
    os.kill(broker._process.pid, signal.SIGHUP)
    until(lambda: not comes_in(broker, papers, "taman-bunga"), "the broker to refuse everybody")
    publish(authority, passphrase, papers)
    os.kill(broker._process.pid, signal.SIGHUP)
    until(lambda: comes_in(broker, papers, "taman-bunga"), "the broker to take the list of now")


def said(broker: Mosquitto) -> str:
    return (broker.directory / "mosquitto.log").read_text()


def test_an_expired_node_stays_out(
    broker: Mosquitto,
    authority: Authority,
    passphrase: bytes,
    papers: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(x509, "_BACKDATED", timedelta(days=x509.CERTIFICATE_DAYS, seconds=1))
    enrolled(authority, passphrase, papers, "taman-bunga")
    assert not comes_in(broker, papers, "taman-bunga")
    until(lambda: REFUSAL in said(broker), "the broker to say why")  # it does so after the alert


def test_a_foreign_authority_opens_nothing(
    broker: Mosquitto, passphrase: bytes, papers: Path, tmp_path: Path
) -> None:
    foreign = Authority(tmp_path / "foreign", Register(tmp_path / "foreign.db"))
    foreign.init(passphrase)
    enrolled(foreign, passphrase, papers, "taman-bunga")
    assert not comes_in(broker, papers, "taman-bunga")
    until(lambda: REFUSAL in said(broker), "the broker to say why")  # it does so after the alert


def test_a_brokers_certificate_is_no_nodes(broker: Mosquitto, papers: Path) -> None:
    assert not comes_in(broker, papers, "broker")


def test_a_rotation_overlaps(
    broker: Mosquitto, authority: Authority, passphrase: bytes, papers: Path
) -> None:
    enrolled(authority, passphrase, papers, "taman-bunga")
    authority.rotate("mqtt", passphrase)
    publish(authority, passphrase, papers)
    broker.close()
    broker.start()
    enrolled(authority, passphrase, papers, "pasar-horas")
    assert comes_in(broker, papers, "taman-bunga")
    assert comes_in(broker, papers, "pasar-horas")
    authority.retire("mqtt")
    (papers / "mqtt-ca.pem").write_bytes(authority.bundle("mqtt"))
    broker_request = (papers / "broker.csr").read_bytes()
    (papers / "broker.pem").write_bytes(
        authority.unlock(passphrase, "mqtt").mqtt_broker(["localhost", "127.0.0.1"], broker_request)
    )
    publish(authority, passphrase, papers)
    broker.close()
    broker.start()
    assert not comes_in(broker, papers, "taman-bunga")
    assert comes_in(broker, papers, "pasar-horas")


@pytest.mark.parametrize(
    ("key", "subject", "words"),
    [
        ("", "/CN=pasar-horas", "asks for itself only"),
        ("", "/O=x/CN=taman-bunga", "asks for itself only"),
        ("-newkey rsa:2048", "", "not on the curve"),
        (
            "-newkey ec -pkeyopt ec_paramgen_curve:brainpoolP256t1",
            "",
            "taman-bunga: .* not supported; make a key on the curve P-256",
        ),
    ],
)
def test_a_request_that_does_not_fit_is_refused(
    authority: Authority, passphrase: bytes, tmp_path: Path, key: str, subject: str, words: str
) -> None:
    asked = request(tmp_path, "taman-bunga", key=key, subject=subject)
    with pytest.raises(RequestError, match=words):
        authority.unlock(passphrase, "mqtt").mqtt_client("taman-bunga", asked)


def test_a_broker_s_name_that_dns_does_not_have_is_refused(
    authority: Authority, passphrase: bytes, tmp_path: Path
) -> None:
    signer, asked = authority.unlock(passphrase, "mqtt"), request(tmp_path, "broker")
    with pytest.raises(RequestError, match=r"kantor-é\.go\.id: .*write it as DNS has it \(xn--"):
        signer.mqtt_broker(["broker", "kantor-é.go.id"], asked)


@pytest.mark.parametrize("asked", [b"", b"garbage", b"-----BEGIN CERTIFICATE REQUEST-----\n"])
def test_garbage_is_refused(authority: Authority, passphrase: bytes, asked: bytes) -> None:
    with pytest.raises(RequestError, match="no certificate request"):
        authority.unlock(passphrase, "mqtt").mqtt_client("taman-bunga", asked)
