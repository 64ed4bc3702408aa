"""Over a real broker a rollout hears the operator, and waits until guests have gone."""

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from services.agent import AgentProcess
from services.mosquitto import Mosquitto, mosquitto_program
from services.waiting import until

from node.messages import Envelope, Wifi, encode, topic_of
from node.settings import Hotspot
from provisioning.__main__ import main
from provisioning.listen import BrokerAccess, listening
from provisioning.update.air import Air, on_air, say_wish, wish_topic
from provisioning.update.engine import Around, Engine
from provisioning.update.errors import PutOffError
from provisioning.update.plan import Place, make_plan
from provisioning.update.record import Head, Record
from provisioning.update.rollout import Entry, Limits

pytestmark = [
    pytest.mark.skipif(mosquitto_program() is None, reason="mosquitto is not installed"),
    pytest.mark.timeout(300),
]
PLAN = make_plan([Place(f"n{number}") for number in range(40)], seed="x")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerAccess]:
    with Mosquitto(tmp_path_factory.mktemp("air") / "broker") as broker:
        yield BrokerAccess(url=broker.url)


def guests(broker: BrokerAccess, node: str, count: int, seq: int = 1) -> None:
    """Say over the broker what a node with so many guests says."""
    wifi = Wifi(interface="wlan0", up=True, stations_count=count)
    envelope = Envelope(
        node=node,
        boot="0" * 16,
        seq=seq,
        at=datetime.now(UTC),
        mono=1.0,
        clock_synced=True,
        historical=False,
        kind="wifi",
        data=msgspec.Raw(encode(wifi)),
    )
    with listening(broker, (), lambda *_: None, topics=("simpul/none",)) as say:
        say(topic_of(node, "wifi"), encode(envelope))


@pytest.mark.parametrize("wish", ["pause", "abort"])
def test_a_retained_wish_is_obeyed_and_then_taken_away(
    broker: BrokerAccess, tmp_path: Path, wish: str
) -> None:
    file = tmp_path / f"{wish}.jsonl"
    with Record(file) as record, on_air(broker, file) as air:
        record.begin(Head(releases={}, plan=PLAN, limits=Limits(parallel=1)))

        def turn(place: Place) -> Entry:
            if place == PLAN.order[3]:
                say_wish(broker, file, wish)  # type: ignore[arg-type]
                until(lambda: air.wish() == wish, "the wish")
            return Entry("success")

        Engine(record, PLAN, Limits(parallel=1), turn, Around(wish=air.wish)).run()
        counts = Counter(entry.state for entry in record.entries.values())
        assert counts["success"] == 4
        assert counts["pending" if wish == "pause" else "cancelled"] == 36
    heard: list[bytes] = []
    with listening(
        broker, (), lambda _, payload: heard.append(payload), topics=(wish_topic(file),)
    ):
        threading.Event().wait(0.3)  # a broker does not say that it retains nothing
    assert heard == []


def test_a_wish_from_before_is_heard_at_the_start(broker: BrokerAccess, tmp_path: Path) -> None:
    file = tmp_path / "early.jsonl"
    say_wish(broker, file, "abort")
    with on_air(broker, file) as air:
        until(lambda: air.wish() == "abort", "the wish")
    with on_air(broker, tmp_path / "other.jsonl") as air:
        assert air.wish() == ""


def test_guests_are_waited_for_until_they_go(broker: BrokerAccess, tmp_path: Path) -> None:
    with on_air(broker, tmp_path / "a") as air:
        guests(broker, "n0", 3)
        until(lambda: air._guests.get("n0") == 3, "the guests")
        told: list[str] = []
        waiting = threading.Thread(target=lambda: told.append(air.wait_quiet("n0", 60, air.wish)))
        waiting.start()
        guests(broker, "n0", 1, seq=2)
        until(lambda: air._guests.get("n0") == 1, "fewer guests")
        assert waiting.is_alive()
        guests(broker, "n0", 0, seq=3)
        waiting.join(30)
        assert told == [""]


def test_the_deadline_ends_the_wait(broker: BrokerAccess, tmp_path: Path) -> None:
    with on_air(broker, tmp_path / "b") as air:
        guests(broker, "n1", 2)
        until(lambda: air._guests.get("n1") == 2, "the guests")
        assert air.wait_quiet("n1", 0.2, air.wish) == "not quiet within 0.2 s: 2 guests stayed"
        assert "its guests are not known" in air.wait_quiet("nobody", 0.2, air.wish)


def test_a_wish_ends_the_wait(broker: BrokerAccess, tmp_path: Path) -> None:
    with on_air(broker, tmp_path / "c") as air:
        say_wish(broker, tmp_path / "c", "abort")
        with pytest.raises(PutOffError, match="abort"):
            air.wait_quiet("n2", 60, air.wish)


def test_real_agents_tell_of_their_guests(broker: BrokerAccess, tmp_path: Path) -> None:
    """The simulated radio always has a neighbour; a node without a hotspot has nobody."""
    busy = AgentProcess(tmp_path / "busy", "pasar-horas", [broker.url])
    free = AgentProcess(tmp_path / "free", "taman-bunga", [broker.url])
    free.write(hotspot=Hotspot(adapter="none"))
    with on_air(broker, tmp_path / "d") as air, busy, free:
        assert air.wait_quiet("taman-bunga", 60, air.wish) == ""
        until(lambda: bool(air._guests.get("pasar-horas")), "guests", seconds=60)
        assert "guests stayed" in air.wait_quiet("pasar-horas", 0.5, air.wish)


def test_without_a_broker_nothing_is_wished() -> None:
    assert Air().wish() == ""


def test_quiet_cannot_be_waited_for_without_a_broker(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["update", "x.bundle", "--quiet-within=60"]) == 1
    assert "--broker" in capsys.readouterr().err


def test_a_broker_that_is_away_at_the_end_costs_no_result(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as own:
        access = BrokerAccess(url=own.url)
        with on_air(access, tmp_path / "r") as air:
            say_wish(access, tmp_path / "r", "pause")
            until(lambda: air.wish() == "pause", "the wish")
            own.kill()
