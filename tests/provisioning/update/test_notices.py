"""What is said to nodes at the broker costs no result, and is never said in vain."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from services.mosquitto import Mosquitto, mosquitto_program
from services.releases import small_bundle
from services.waiting import until

from node.install.notice import notice_topic
from provisioning.__main__ import main
from provisioning.listen import BrokerAccess, listening
from provisioning.update import notices as module
from provisioning.update.errors import UnreachableError
from provisioning.update.notices import noticing

TOPIC = notice_topic("n0")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    if mosquitto_program() is None:
        pytest.skip("mosquitto is not installed")
    keeps = ("persistence true", f"persistence_location {tmp_path}/")
    with Mosquitto(tmp_path / "broker", options=keeps) as broker:
        yield broker


def retained(broker: Mosquitto) -> bytes:
    """Return the notice that is retained for the node; none is empty."""
    heard: dict[str, bytes] = {}
    access = BrokerAccess(url=broker.url)
    with listening(access, (), heard.__setitem__, topics=(TOPIC, "marker")) as say:
        say("marker", b"last")
        until(lambda: "marker" in heard, "what is retained")
    return heard.get(TOPIC, b"")


def test_a_broker_that_is_away_for_a_moment_costs_no_result(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_ASK_TIMEOUT_S", 0.1)
    with noticing(BrokerAccess(url=broker.url)) as notices:
        with notices.session("n0") as session:
            with pytest.raises(UnreachableError, match="no report"):
                session.status()
            broker.close()
        assert [record.message for record in caplog.records if "n0" in record.message]
        broker.start()
    assert retained(broker) == b""


def test_a_broker_that_stays_away_is_told_of(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_ASK_TIMEOUT_S", 0.1)
    monkeypatch.setattr(module, "_TIDY_S", 0.0)
    with noticing(BrokerAccess(url=broker.url)) as notices, notices.session("n0") as session:
        with pytest.raises(UnreachableError, match="no report"):
            session.status()
        broker.close()
    assert "still retained: notices for n0" in caplog.records[-1].message


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--confirm-within=90000", "confirm_within_s"),
        ("--soak=-1", "soak_s"),
        ("--url=ftp://hub/{file}", "url"),
        ("--url=https://hub/new releases/{file}", "url"),
    ],
)
def test_what_no_node_would_obey_is_refused_before_anything_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, words: str
) -> None:
    bundle = small_bundle(tmp_path, {"bin/simpul-node": b""})
    (tmp_path / "inventory.ini").write_text("[nodes]\nn0\n")
    options = [f"--inventory={tmp_path / 'inventory.ini'}", f"--record={tmp_path / 'record'}"]
    options += ["--pull", "--broker=mqtt://127.0.0.1:1", "--url=https://hub/{file}", option]
    assert main(["update", str(bundle), *options]) == 1
    told = capsys.readouterr().err
    assert "nodes would refuse the notice" in told
    assert words in told
    assert not (tmp_path / "record").exists()


def test_what_is_no_hash_is_not_left(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rollback", "z" * 64, "--pull", "--broker=mqtt://127.0.0.1:1"]) == 1
    assert "no hash of a release" in capsys.readouterr().err
