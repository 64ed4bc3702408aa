"""The line to the broker: all that is retained comes, what is late is said, a loss is seen."""

import queue
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from services.held_link import HeldLink
from services.mosquitto import Mosquitto
from services.talker import Talker
from services.waiting import until

from node.messages import parse_topic
from provisioning.__main__ import main
from provisioning.fleet import Fleet
from provisioning.listen import BrokerAccess, line_to

KINDS = ("state", "frame")
NODES = tuple(f"n{number}" for number in range(20))
_CONSENT_BYTES = 4 + 6  # CONNACK, and SUBACK of two filters: MQTT 3.1.1, 3.2 and 3.9


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as broker:
        yield broker


@pytest.fixture
def held(broker: Mosquitto) -> Iterator[HeldLink]:
    """Let nodes speak, and give a link to their broker that holds back what is retained."""
    for name in NODES:
        with Talker(broker.url, name) as talker:
            talker.birth(wait=True)
            talker.still()
    with HeldLink(broker.port, passed_bytes=_CONSENT_BYTES) as link:
        yield link


def test_all_that_is_retained_is_waited_for(held: HeldLink) -> None:
    fleet = Fleet()
    with line_to(BrokerAccess(url=held.url), KINDS, fleet.hear) as line:
        ends: queue.Queue[bool] = queue.Queue()
        waiting = threading.Thread(target=lambda: ends.put(line.settled(60)))
        waiting.start()
        assert held.asked_further.wait(60)
        assert not fleet.nodes
        assert ends.empty()
        held.let_go.set()
        assert ends.get(timeout=60)
        waiting.join()
    assert sorted(fleet.nodes) == sorted(NODES)
    assert all(view.state and view.still_at for view in fleet.nodes.values())


def test_status_shows_all_over_a_slow_link(
    held: HeldLink, capsys: pytest.CaptureFixture[str]
) -> None:
    let_go = threading.Thread(target=lambda: held.asked_further.wait() and held.let_go.set())
    let_go.start()
    assert main(["status", "--broker", held.url, "--json"]) == 0
    let_go.join()
    said = capsys.readouterr()
    assert said.out.count('"still_at":"') == len(NODES)
    assert not said.err


def test_status_says_when_it_was_cut_off(
    held: HeldLink, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--broker", held.url, "--within", "0.1"]) == 0
    assert "not all came within 0.1 s" in capsys.readouterr().err


@pytest.mark.parametrize("within_seconds", [0.0, -1.0, float("nan")])
def test_no_time_at_all_is_not_enough(broker: Mosquitto, within_seconds: float) -> None:
    with line_to(BrokerAccess(url=broker.url), KINDS, Fleet().hear) as line:
        assert not line.settled(within_seconds)


def test_an_empty_broker_is_heard_out(broker: Mosquitto) -> None:
    with line_to(BrokerAccess(url=broker.url), KINDS, Fleet().hear) as line:
        assert line.settled(float("inf"))


def test_what_is_retained_has_no_arrival(broker: Mosquitto) -> None:
    heard: queue.Queue[tuple[str, datetime | None]] = queue.Queue()

    def hear(topic: str, _payload: bytes, arrived_at: datetime | None) -> None:
        parsed = parse_topic(topic)
        assert parsed is not None
        heard.put((parsed[0], arrived_at))

    with Talker(broker.url, "before") as before, Talker(broker.url, "now") as now:
        before.birth()
        with line_to(BrokerAccess(url=broker.url), ("state",), hear):
            assert heard.get(timeout=60) == ("before", None)
            began_at = datetime.now(UTC)
            now.birth()
            name, arrived_at = heard.get(timeout=60)
    assert name == "now"
    assert arrived_at is not None
    assert began_at <= arrived_at <= datetime.now(UTC)


def test_a_lost_broker_is_seen_and_found_again(broker: Mosquitto) -> None:
    fleet = Fleet()
    with line_to(BrokerAccess(url=broker.url), KINDS, fleet.hear) as line:
        assert line.lost_at is None
        broker.kill()
        until(lambda: line.lost_at is not None, "the loss")
        assert not line.settled(0.1)
        broker.start()
        until(lambda: line.lost_at is None, "the line again")
        with Talker(broker.url, "taman-bunga") as talker:
            talker.birth()
            until(lambda: "taman-bunga" in fleet.nodes, "the birth")
        assert line.settled(60)
