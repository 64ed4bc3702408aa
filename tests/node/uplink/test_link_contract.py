"""What every link promises; the real one and its twin in memory keep the same promises."""

import time
from collections.abc import Callable
from typing import Protocol

import pytest

from node.errors import UplinkError
from node.uplink.link import Acknowledged, Happening, Link, Message, Received

OpenLink = Callable[..., Link]
Later = Callable[[float, Callable[[], None]], None]


class Breakable(Protocol):
    def down(self) -> None: ...


def until(link: Link, wanted: Callable[[list[Happening]], bool]) -> list[Happening]:
    happened: list[Happening] = []
    end_mono = time.monotonic() + 10
    while not wanted(happened):
        assert time.monotonic() < end_mono, happened
        happened += link.turn(0.2)
    return happened


def received(happened: list[Happening]) -> list[Received]:
    return [each for each in happened if isinstance(each, Received)]


def test_every_message_is_acknowledged_by_its_token(open_link: OpenLink) -> None:
    link = open_link()
    tokens = [link.publish(Message(topic="a/b", payload=b"%d" % n)) for n in range(50)]
    assert len(set(tokens)) == 50
    happened = until(link, lambda all_: len(all_) >= 50)
    assert sorted(each.token for each in happened if isinstance(each, Acknowledged)) == sorted(
        tokens
    )


def test_a_subscriber_receives_its_topic_only(open_link: OpenLink) -> None:
    listener, talker = open_link("listener"), open_link("talker")
    listener.subscribe("cmd")
    listener.turn(0.2)
    talker.publish(Message(topic="other", payload=b"no"))
    talker.publish(Message(topic="cmd", payload=b"yes"))
    until(talker, lambda all_: len(all_) >= 2)
    assert received(until(listener, lambda all_: bool(received(all_)))) == [Received("cmd", b"yes")]


def test_what_is_retained_comes_first_and_says_so(open_link: OpenLink) -> None:
    listener, talker = open_link("listener"), open_link("talker")
    talker.publish(Message(topic="cmd", payload=b"before", retain=True))
    until(talker, lambda all_: len(all_) >= 1)
    listener.subscribe("cmd")
    heard = received(until(listener, lambda all_: bool(received(all_))))
    talker.publish(Message(topic="cmd", payload=b"now", retain=True))
    heard += received(until(listener, lambda all_: bool(received(all_))))
    assert heard == [Received("cmd", b"before", retained=True), Received("cmd", b"now")]


def test_wake_ends_a_turn_early(open_link: OpenLink, later: Later) -> None:
    link = open_link()
    link.turn(0.2)
    later(0.2, link.wake)
    start_mono = time.monotonic()
    link.turn(30)
    assert time.monotonic() - start_mono < 10


def test_wake_after_close_is_harmless(open_link: OpenLink) -> None:
    link = open_link()
    link.close()
    link.wake()


def test_a_big_message_arrives_whole(open_link: OpenLink) -> None:
    listener, talker = open_link("listener"), open_link("talker")
    listener.subscribe("cmd")
    listener.turn(0.2)
    payload = bytes(range(256)) * 3000
    talker.publish(Message(topic="cmd", payload=payload))
    until(talker, lambda all_: len(all_) >= 1)
    (message,) = received(until(listener, lambda all_: bool(received(all_))))
    assert message.payload == payload


def test_abandoning_publishes_the_will_and_closing_does_not(open_link: OpenLink) -> None:
    listener = open_link("listener")
    listener.subscribe("will/a")
    listener.subscribe("will/b")
    listener.turn(0.2)
    open_link("b", will=b"b died").close()
    open_link("a", will=b"a died").abandon()
    heard = received(until(listener, lambda all_: bool(received(all_))))
    assert [each.payload for each in heard] == [b"a died"]


def test_a_lost_broker_is_an_uplink_error(world: Breakable, open_link: OpenLink) -> None:
    link = open_link()
    link.turn(0.1)
    world.down()
    with pytest.raises(UplinkError):
        until(link, lambda _all: False)
    with pytest.raises(UplinkError):
        link.publish(Message(topic="a", payload=b"x"))
