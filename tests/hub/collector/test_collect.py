"""The collector between a real Mosquitto, a node that talks and real databases."""

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from services.mosquitto import Mosquitto
from services.talker import Talker
from services.waiting import until

from hub.collector import collect
from hub.public.directory import PublicDirectory
from hub.settings import Broker, DatabaseAt, Gaps, HubSettings, Public
from hub.store import Arrival, Database, incomplete_boots, store
from hub.store.schema import measurement
from node.messages import encode


@pytest.fixture
def public(tmp_path: Path) -> Path:
    """Return the public directory."""
    return tmp_path / "public"


@pytest.fixture
def settings(mosquitto: Mosquitto, database_url: str, public: Path) -> HubSettings:
    """Return settings with short pauses."""
    return HubSettings(
        broker=Broker(urls=(mosquitto.url,), backoff_min_seconds=0.1, keepalive_seconds=5),
        database=DatabaseAt(url=database_url),
        gaps=Gaps(grace_seconds=0.2, interval_min_seconds=0.5),
        public=Public(directory=str(public)),
    )


@pytest.fixture
def collector(
    settings: HubSettings, database: Database, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    """Run a collector on a database that has its tables; it listens by the time the test begins."""
    del database
    with collecting(settings, caplog):
        yield


@contextmanager
def collecting(settings: HubSettings, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Run a collector that listens by the time the block begins."""
    stop, ready = threading.Event(), threading.Event()
    thread = threading.Thread(target=collect, args=(settings, stop), kwargs={"ready": ready.set})
    with caplog.at_level(logging.INFO, logger="hub.collector.link"):
        before = caplog.text.count("connected to broker")
        thread.start()
        assert ready.wait(10)
        # What a node says before that and nothing retains, nobody hears.
        until(lambda: caplog.text.count("connected to broker") > before, "the collector to listen")
    try:
        yield
    finally:
        stop.set()
        thread.join(15)
    assert not thread.is_alive()


@pytest.fixture
def aged(database: Database) -> None:
    """Have a measurement in the database that is older than it is to be kept."""
    envelope = Talker("mqtt://127.0.0.1:1", "pasar-horas").envelope("wifi", {}, 1)
    store(database, [Arrival(envelope, datetime.now(UTC) - timedelta(days=401))])


def stored(database: Database) -> list[int]:
    with database.transaction() as connection:
        return list(connection.scalars(sa.select(measurement.c.seq).order_by(measurement.c.seq)))


def lacking(database: Database) -> dict[tuple[str, str], int]:
    return incomplete_boots(database, ["pasar-horas"], count_max=10)


def cameras(public: Path) -> dict[str, dict[str, object]]:
    file = public / "cameras.json"
    if not file.exists():
        return {}
    return {view["id"]: view for view in json.loads(file.read_text())["cameras"]}


@pytest.mark.usefixtures("collector")
def test_holes_are_asked_for_and_losses_are_noted(mosquitto: Mosquitto, database: Database) -> None:
    with Talker(mosquitto.url, "pasar-horas") as node:
        for number in range(1, 41):
            node.measure(send=number % 3 != 0)
        node.sacrifice([6, 9])
        node.measure(send=False)  # a hole at the very end: only the ledger tells
        node.birth()
        expected = sorted(node.outbox)
        until(lambda: stored(database) == expected, "every measurement that still exists")
        until(lambda: not lacking(database), "the losses to be noted")


@pytest.mark.usefixtures("collector")
def test_garbage_is_survived_and_what_follows_is_kept(
    mosquitto: Mosquitto, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with Talker(mosquitto.url, "pasar-horas") as node, caplog.at_level(logging.WARNING):
        for number in range(300):
            node.publish("wifi", b"rahasia %d" % number)
            node.publish("frame", b"\xff\xd8rahasia")
            node.publish("not/a/topic/of/ours", b"rahasia")
        node.still(node="adam-malik")
        node.measure()
        until(lambda: stored(database) == [1], "the measurement behind the garbage")
    refused = [record for record in caplog.records if "refused" in record.getMessage()]
    assert 1 <= len(refused) <= 3
    assert "rahasia" not in caplog.text


@pytest.mark.usefixtures("collector")
def test_runs_that_no_database_takes_are_survived(
    mosquitto: Mosquitto, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = {"boot": "0123456789abcdef\n", "last_seq": 5}
    answer = {"id": "1", "ok": True, "boot": "a\0b", "gone": [{"first": 1, "last": 2}]}
    with Talker(mosquitto.url, "pasar-horas") as node, caplog.at_level(logging.WARNING):
        birth = node.envelope("state", {"online": True, "ledgers": [ledger]}, 0)
        node.publish("state", encode(birth))
        node.publish("reply", encode(node.envelope("reply", answer, 0)))
        node.measure()
        until(lambda: stored(database) == [1], "the measurement behind the bad runs")
    assert "`$.ledgers[0].boot`" in caplog.text
    assert "`$.boot`" in caplog.text


@pytest.mark.usefixtures("aged", "collector")
def test_what_is_too_old_is_deleted(database: Database, mosquitto: Mosquitto) -> None:
    """Once a node has told the time."""
    with Talker(mosquitto.url, "taman-bunga") as node:
        node.measure()
        node.measure()
        until(lambda: stored(database) == [1, 2], "the old measurement to go")


@pytest.mark.usefixtures("collector")
def test_the_public_directory_follows_the_node(mosquitto: Mosquitto, public: Path) -> None:
    with Talker(mosquitto.url, "pasar-horas") as node:
        node.birth(title="Pasar Horas", site="Jl. Merdeka", simulated=True)
        node.measure(users=12)
        node.still(simulated=True)
        until(lambda: complete(cameras(public)), "the place with still and users")
        view = cameras(public)["pasar-horas"]
        assert (view["name"], view["site"]) == ("Pasar Horas", "Jl. Merdeka")
        assert (view["state"], view["simulated"]) == ("online", True)
        assert view["hotspot"] == {"users": 12, "fewer_than": None, "simulated": False}
        assert (public / "stills" / "pasar-horas.jpg").read_bytes().startswith(b"\xff\xd8")
        assert str(view["still"]).startswith("stills/pasar-horas.jpg?v=")

        node.birth(online=False, title="Pasar Horas")
        until(lambda: cameras(public)["pasar-horas"]["state"] == "offline", "the death")
        node.publish("state", b"", retain=True)
        until(lambda: not cameras(public), "the node to be taken out")
        until(lambda: not (public / "stills" / "pasar-horas.jpg").exists(), "its still to go")
        node.publish("frame", b"", retain=True, wait=True)


def test_the_page_waits_for_the_nodes_behind_what_the_broker_queued(
    mosquitto: Mosquitto,
    settings: HubSettings,
    public: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hub.public.page._SETTLE_SECONDS", 0.0)
    slow = msgspec.structs.replace(
        settings, database=msgspec.structs.replace(settings.database, batch_max=1)
    )
    with Talker(mosquitto.url, "pasar-horas") as node:
        with collecting(slow, caplog):
            node.birth()
            until(lambda: "pasar-horas" in cameras(public), "the page")
        for _ in range(20):
            node.measure()
        node.publish("wifi", b"no more", wait=True)
        written: list[list[str]] = []
        write = PublicDirectory.write_cameras

        def noted(directory: PublicDirectory, content: bytes) -> None:
            write(directory, content)
            written.append([view["state"] for view in cameras(public).values()])  # type: ignore[misc]

        monkeypatch.setattr(PublicDirectory, "write_cameras", noted)
        with collecting(slow, caplog):
            until(lambda: bool(written), "the page to be written again")
    assert all(states != [] for states in written)


def complete(shown: dict[str, dict[str, object]]) -> bool:
    view = shown.get("pasar-horas", {})
    hotspot = view.get("hotspot")
    return bool(view.get("still")) and isinstance(hotspot, dict) and hotspot["users"] is not None
