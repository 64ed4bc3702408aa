"""Lamp, button and tamper switch, as a person at the box meets them."""

import time

import pytest

from hil_tests.bench.lamp import read_lamp
from hil_tests.bench.protocols import HandsProtocol
from hil_tests.bench.run import NODE, Bench
from node.messages import Identify, encode_command

pytestmark = [pytest.mark.smoke, pytest.mark.needs("hands", "ssh")]
_PRESS_SECONDS = 0.5


@pytest.fixture
def hands(node: Bench) -> HandsProtocol:
    driver = node.target.get_driver(HandsProtocol)
    driver.open_box(opened=False)
    driver.press(down=False)
    return driver  # type: ignore[no-any-return]


def test_opening_the_box_is_told(node: Bench, hands: HandsProtocol) -> None:
    for opened in (True, False):
        mark = node.traffic.count()
        hands.open_box(opened=opened)
        node.traffic.wait_for(
            "event/tamper",
            since=mark,
            timeout_seconds=120,
            that=lambda heard, opened=opened: heard.data()["opened"] is opened,  # type: ignore[misc]
        )


@pytest.mark.parametrize(("press", "seconds"), [("short", _PRESS_SECONDS), ("long", 4.0)])
def test_a_press_is_told(node: Bench, hands: HandsProtocol, press: str, seconds: float) -> None:
    mark = node.traffic.count()
    hands.press(down=True)
    time.sleep(seconds)  # a finger's
    hands.press(down=False)
    told = node.traffic.wait_for(
        "event/button", since=mark, timeout_seconds=120, that=lambda _: True
    )
    assert told.data()["press"] == press


def test_the_lamp_says_how_it_is(node: Bench, hands: HandsProtocol) -> None:
    node.traffic.wait_for(
        "camera",
        since=node.traffic.count(),
        timeout_seconds=120,
        that=lambda heard: bool(heard.data()["running"]),
    )
    assert read_lamp(hands.watch_lamp(9)) == "working"
    mark = node.traffic.count()
    node.traffic.command(NODE, encode_command(Identify(id="lamp", seconds=8)))
    node.traffic.wait_for("reply", since=mark, timeout_seconds=120, that=lambda _: True)
    assert read_lamp(hands.watch_lamp(3)) == "identify"
