"""The two brokers that links are tested against: one in memory, one real Mosquitto."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import pytest
from services.mosquitto import Mosquitto

from node.errors import UplinkError
from node.settings import Uplink as UplinkSettings
from node.uplink.link import Link, Message
from node.uplink.memory_link import MemoryBroker, MemoryLink
from node.uplink.paho_link import PahoLink


class World(Protocol):
    """A broker and a way to make links to it."""

    url: str

    def link(self, name: str) -> Link: ...
    def down(self) -> None: ...


class MemoryWorld:
    url = "mqtt://memory:1"

    def __init__(self) -> None:
        self.broker = MemoryBroker()

    def link(self, name: str) -> Link:
        del name
        return MemoryLink(self.broker)

    def down(self) -> None:
        self.broker.down()


class MosquittoWorld:
    def __init__(self, broker: Mosquitto) -> None:
        self.broker = broker
        self.url = broker.url

    def link(self, name: str) -> Link:
        return PahoLink(UplinkSettings(brokers=(self.url,)), client_id=name)

    def down(self) -> None:
        self.broker.kill()


@pytest.fixture(params=["memory", "mosquitto"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "memory":
        yield MemoryWorld()
        return
    with Mosquitto(tmp_path / "broker") as broker:
        yield MosquittoWorld(broker)


@pytest.fixture
def open_link(world: World) -> Iterator[Callable[..., Link]]:
    """Return a function that makes an open link; all are closed at the end."""
    links: list[Link] = []

    def make(name: str = "taman", *, will: bytes = b"died") -> Link:
        link = world.link(name)
        links.append(link)
        link.open(world.url, Message(topic=f"will/{name}", payload=will, retain=True))
        return link

    yield make
    for link in links:
        with suppress(UplinkError):
            link.close()


@pytest.fixture
def later() -> Iterator[Callable[[float, Callable[[], None]], None]]:
    """Return a function that calls something after some seconds, from another thread."""
    timers: list[threading.Timer] = []

    def start(seconds: float, action: Callable[[], None]) -> None:
        timers.append(threading.Timer(seconds, action))
        timers[-1].start()

    yield start
    for timer in timers:
        timer.join()
