"""An uplink that is too slow for a still loses the still, never a measurement."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from services.mosquitto import Mosquitto
from services.slow_link import SlowLink
from services.waiting import until

from node.clock import FakeClock, SystemClock
from node.errors import UplinkError
from node.messages import Health
from node.outbox.batch import Rank
from node.outbox.outbox import Outbox
from node.settings import Outbox as OutboxSettings
from node.settings import Uplink as UplinkSettings
from node.uplink.frame_slot import FrameSlot
from node.uplink.link import Acknowledged, Link, Message
from node.uplink.memory_link import MemoryBroker, MemoryLink
from node.uplink.paho_link import PahoLink
from node.uplink.session import Session
from node.uplink.uplink import Uplink
from node.uplink.voice import Voice

NODE = "taman"
FRAME = f"simpul/1/{NODE}/frame"
VOICE = Voice(node=NODE, birth=lambda: b"birth", death=lambda: b"death", obey=lambda _: None)


class SlowUpload(SlowLink):
    """The slow link the other way round: what is said to the service comes slowly."""

    def _carry(self, source: socket.socket, sink: socket.socket, slow: bool) -> None:  # noqa: FBT001 - as there
        super()._carry(source, sink, not slow)


class Rig:
    """An uplink through a slow link to a real broker, and someone who listens there."""

    def __init__(
        self, directory: Path, link: SlowLink, listener: Link, *, timeout_seconds: float
    ) -> None:
        clock = SystemClock()
        settings = UplinkSettings(
            brokers=(f"mqtt://127.0.0.1:{link.port}",),
            backoff_min_seconds=0.01,
            acknowledge_timeout_seconds=timeout_seconds,
        )
        self.link, self.listener = link, listener
        self.frames = FrameSlot()
        self.outbox = Outbox(
            directory / "outbox.db", OutboxSettings(), node=NODE, boot="0" * 16, clock=clock
        )
        self.uplink = Uplink(
            settings,
            VOICE,
            make_link=lambda: PahoLink(settings, client_id=NODE),
            outbox=self.outbox,
            frames=self.frames,
            clock=clock,
        )

    def measure(self) -> None:
        for _ in range(3):
            self.outbox.put(Rank.MEASUREMENT, "health", Health())
        self.outbox.commit()

    def all_arrived(self) -> bool:
        return self.outbox.figures().unsent_count == 0

    def frame_arrived(self) -> bool:
        return bool(self.listener.turn(0.1))


@contextmanager
def running(directory: Path, *, bytes_per_s: int, timeout_seconds: float) -> Iterator[Rig]:
    with (
        Mosquitto(directory / "broker") as broker,
        SlowUpload(broker.port, bytes_per_s=bytes_per_s) as link,
    ):
        listener = PahoLink(UplinkSettings(brokers=(broker.url,)), client_id="listener")
        listener.open(broker.url, Message(topic="will", payload=b""))
        listener.subscribe(FRAME)
        rig = Rig(directory, link, listener, timeout_seconds=timeout_seconds)
        stop = threading.Event()
        thread = threading.Thread(target=rig.uplink.run, args=(stop,))
        thread.start()
        try:
            yield rig
        finally:
            stop.set()
            rig.uplink.wake()
            thread.join(10)
            listener.close()
        assert not thread.is_alive()


def test_stills_that_are_too_big_for_the_uplink_do_not_stop_measurements(tmp_path: Path) -> None:
    with running(tmp_path, bytes_per_s=20_000, timeout_seconds=1) as rig:
        for _ in range(2):
            carried_bytes = rig.link.carried_bytes
            rig.frames.put(bytes(1_000_000))
            rig.uplink.wake()
            until(lambda: rig.link.carried_bytes > carried_bytes + 16_000, "a still under way")  # noqa: B023 - called here
            rig.measure()

            def arrived() -> bool:
                rig.frames.put(bytes(1_000_000))  # as a camera goes on taking them
                return rig.all_arrived()

            until(arrived, "the measurements")


def test_a_still_may_take_longer_than_a_measurement(tmp_path: Path) -> None:
    with running(tmp_path, bytes_per_s=20_000, timeout_seconds=4) as rig:
        rig.frames.put(bytes(120_000))
        until(lambda: rig.link.carried_bytes > 16_000, "the still under way")
        rig.measure()
        until(rig.all_arrived, "the measurements")
        until(rig.frame_arrived, "the still")
        assert rig.uplink.connects_count == 1


class SilentLink(MemoryLink):
    """A link whose broker acknowledges what the test says, and nothing else."""

    def __init__(self) -> None:
        broker = MemoryBroker()
        broker.mute = True
        super().__init__(broker)
        self.tokens: dict[str, int] = {}

    def publish(self, message: Message) -> int:
        token = super().publish(message)
        self.tokens[message.topic] = token
        return token

    def acknowledge(self, topic: str) -> None:
        self._happened.append(Acknowledged(self.tokens[topic]))


def test_what_went_out_behind_a_still_has_its_full_time_once_the_still_is_there(
    tmp_path: Path,
) -> None:
    link, clock, frames = SilentLink(), FakeClock(), FrameSlot()
    outbox = Outbox(tmp_path / "outbox.db", OutboxSettings(), node=NODE, boot="0" * 16, clock=clock)
    settings = UplinkSettings(brokers=("mqtt://a:1",), acknowledge_timeout_seconds=10)
    session = Session(link, VOICE, settings=settings, outbox=outbox, frames=frames, clock=clock)
    session.greet()
    link.acknowledge(f"simpul/1/{NODE}/state")
    frames.put(b"jpeg")
    session.step(0)
    outbox.attach(lambda: None)
    outbox.put(Rank.MEASUREMENT, "health", Health())
    outbox.commit()
    clock.advance(1)
    session.step(0)
    clock.advance(18)
    link.acknowledge(FRAME)
    session.step(0)
    clock.advance(9)
    session.step(0)
    clock.advance(2)
    with pytest.raises(UplinkError, match="nothing for 10 s"):
        session.step(0)
