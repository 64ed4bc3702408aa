"""The uplink's manners: birth first, fresh before history, nothing twice unless it must."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.backoff import Backoff
from node.clock import SystemClock
from node.commands import obey
from node.errors import BoardError, CameraError
from node.messages import Health, Identify, Reply, decode_envelope, encode_command
from node.outbox.batch import Rank
from node.outbox.outbox import Outbox
from node.settings import Outbox as OutboxSettings
from node.settings import Uplink as UplinkSettings
from node.uplink.frame_slot import FrameSlot
from node.uplink.link import Message
from node.uplink.memory_link import MemoryBroker, MemoryLink
from node.uplink.uplink import Uplink
from node.uplink.voice import Voice

NODE = "taman"
HEALTH = f"simpul/1/{NODE}/health"


def eventually(condition: Callable[[], object]) -> None:
    end_mono = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end_mono
        threading.Event().wait(0.01)


class Rig:
    """An uplink over a broker in memory."""

    def __init__(self, directory: Path, *, acknowledge_timeout_seconds: float = 30) -> None:
        clock = SystemClock()
        self.broker = MemoryBroker()
        self.frames = FrameSlot()
        self.outbox = Outbox(
            directory / "outbox.db", OutboxSettings(), node=NODE, boot="0" * 16, clock=clock
        )
        self.stop = threading.Event()
        self.uplink = Uplink(
            UplinkSettings(
                brokers=("mqtt://a:1", "mqtt://b:1"),
                backoff_min_seconds=0.01,
                backoff_max_seconds=1,
                acknowledge_timeout_seconds=acknowledge_timeout_seconds,
            ),
            Voice(
                node=NODE,
                birth=lambda: b"birth",
                death=lambda: b"death",
                obey=lambda payload: b"did " + payload,
            ),
            make_link=lambda: MemoryLink(self.broker),
            outbox=self.outbox,
            frames=self.frames,
            clock=clock,
        )
        self.thread = threading.Thread(target=self.uplink.run, args=(self.stop,))

    def measure(self, count: int) -> None:
        for number in range(count):
            self.outbox.put(Rank.MEASUREMENT, "health", Health(load_1min=number))
        self.outbox.commit()

    def seqs(self) -> list[int]:
        return [decode_envelope(m.payload).seq for m in self.of(HEALTH)]

    def of(self, topic: str) -> list[Message]:
        return [message for message in self.broker.published if message.topic == topic]

    def states(self) -> list[bytes]:
        return [message.payload for message in self.of(f"simpul/1/{NODE}/state")]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.stop.set()
    rig.uplink.wake()
    rig.thread.join(10)
    assert not rig.thread.is_alive()


def test_birth_comes_before_anything_else_and_is_retained(rig: Rig) -> None:
    rig.measure(3)
    rig.thread.start()
    eventually(lambda: len(rig.seqs()) == 3)
    assert rig.broker.published[0].payload == b"birth"
    assert rig.broker.retained[f"simpul/1/{NODE}/state"].payload == b"birth"


def test_a_birth_after_every_reconnect_and_nothing_sent_twice_that_was_acknowledged(
    rig: Rig,
) -> None:
    rig.thread.start()
    eventually(rig.states)
    rig.measure(3)
    eventually(lambda: rig.outbox.figures().unsent_count == 0)
    rig.broker.down()
    eventually(lambda: rig.states() == [b"birth", b"death", b"birth"])
    rig.measure(2)
    eventually(lambda: rig.seqs() == [1, 2, 3, 4, 5])


def test_what_was_not_acknowledged_is_sent_again_as_history(tmp_path: Path) -> None:
    rig = Rig(tmp_path, acknowledge_timeout_seconds=1)
    rig.broker.mute = True
    rig.thread.start()
    eventually(lambda: rig.broker.links)
    rig.measure(4)
    connected_before = rig.uplink.connects_count
    eventually(lambda: rig.uplink.connects_count > connected_before)
    rig.broker.mute = False
    eventually(lambda: set(rig.seqs()) == {1, 2, 3, 4})
    assert all(decode_envelope(m.payload).historical for m in rig.of(HEALTH))
    rig.stop.set()
    rig.uplink.wake()
    rig.thread.join(10)


def test_history_does_not_starve_what_is_fresh(rig: Rig) -> None:
    for _ in range(20):
        rig.measure(500)
    rig.broker.mute = True  # the window fills with history and stays full
    rig.thread.start()
    eventually(lambda: rig.broker.links)
    rig.broker.mute = False
    rig.broker.down()
    eventually(lambda: len(rig.seqs()) > 100)
    rig.measure(1)
    sent_before = len(rig.seqs())
    fresh_seq = 10_001
    eventually(lambda: fresh_seq in rig.seqs())
    waited_for = rig.seqs().index(fresh_seq) - sent_before
    assert waited_for < 2_000, "it waited for the backlog"
    eventually(lambda: len(rig.seqs()) == 10_001)
    assert sorted(rig.seqs()) == list(range(1, 10_002))


def test_a_full_window_of_history_leaves_room_for_what_is_fresh(rig: Rig) -> None:
    rig.measure(200)
    published: list[Message] = []
    rig.broker.mute = True
    link_publish = MemoryLink.publish

    class Counting(MemoryLink):
        def publish(self, message: Message) -> int:
            published.append(message)
            return link_publish(self, message)

    rig.uplink._make_link = lambda: Counting(rig.broker)  # to see what is sent but not acknowledged
    rig.thread.start()
    history = 64 - 16
    eventually(lambda: len([m for m in published if m.topic == HEALTH]) == history - 1)
    rig.measure(1)
    eventually(lambda: any(decode_envelope(m.payload).seq == 201 for m in published[1:]))


def test_only_the_newest_still_is_sent_after_an_outage(rig: Rig) -> None:
    rig.frames.put(b"old")
    rig.frames.put(b"new")
    rig.thread.start()
    eventually(lambda: rig.of(f"simpul/1/{NODE}/frame"))
    assert [m.payload for m in rig.of(f"simpul/1/{NODE}/frame")] == [b"new"]
    assert rig.frames.replaced_count == 1


def test_a_still_that_was_under_way_when_the_connection_ended_is_not_sent_again(rig: Rig) -> None:
    rig.broker.mute = True
    rig.frames.put(b"lost")
    rig.thread.start()
    eventually(lambda: rig.frames._jpeg is None)
    rig.broker.refusal = "not now"
    rig.broker.down()
    rig.broker.mute = False
    rig.broker.refusal = ""
    eventually(lambda: b"birth" in rig.states())
    rig.measure(1)
    eventually(lambda: rig.seqs() == [1])
    rig.frames.put(b"next")
    rig.uplink.wake()
    eventually(lambda: rig.of(f"simpul/1/{NODE}/frame"))
    assert [m.payload for m in rig.of(f"simpul/1/{NODE}/frame")] == [b"next"]


def test_a_command_gets_its_reply(rig: Rig) -> None:
    rig.thread.start()
    eventually(rig.states)
    rig.broker.take(Message(topic=f"simpul/1/{NODE}/cmd", payload=b"this"))
    eventually(lambda: rig.of(f"simpul/1/{NODE}/reply"))
    assert rig.of(f"simpul/1/{NODE}/reply")[0].payload == b"did this"


def test_a_command_that_is_retained_is_not_obeyed(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.broker.take(Message(topic=f"simpul/1/{NODE}/cmd", payload=b"old", retain=True))
    rig.thread.start()
    eventually(rig.states)
    rig.broker.take(Message(topic=f"simpul/1/{NODE}/cmd", payload=b"new"))
    eventually(lambda: rig.of(f"simpul/1/{NODE}/reply"))
    assert [message.payload for message in rig.of(f"simpul/1/{NODE}/reply")] == [b"did new"]
    assert "a retained command is not obeyed" in caplog.text


def test_a_refusing_broker_is_tried_again(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.broker.refusal = "Not authorized"
    rig.thread.start()
    eventually(lambda: len(caplog.records) >= 2)
    assert "mqtt://a:1 refuses" in caplog.text
    assert "mqtt://b:1 refuses" in caplog.text
    rig.broker.refusal = ""
    eventually(rig.states)


def test_a_clean_stop_sends_what_is_fresh_and_says_farewell(rig: Rig) -> None:
    rig.thread.start()
    eventually(rig.states)
    rig.stop.set()
    rig.measure(2)
    rig.thread.join(10)
    assert rig.states() == [b"birth", b"death"]
    assert rig.seqs() == [1, 2]


@given(st.floats(0.01, 10), st.floats(10, 1000), st.integers(1, 80))
def test_backoff_stays_within_its_limits(low: float, high: float, failures: int) -> None:
    backoff = Backoff(min_seconds=low, max_seconds=high)
    pauses = [backoff.next_seconds() for _ in range(failures)]
    assert all(low / 2 <= pause <= high for pause in pauses)
    assert pauses[0] <= low
    backoff.reset()
    assert backoff.next_seconds() <= low


class TestCommands:
    """A closed list: anything else changes nothing."""

    @pytest.fixture
    def outbox(self, tmp_path: Path) -> Outbox:
        outbox = Outbox(
            tmp_path / "o.db", OutboxSettings(), node=NODE, boot="0" * 16, clock=SystemClock()
        )
        outbox.put(Rank.MEASUREMENT, "health", Health())
        outbox.commit()
        return outbox

    @pytest.mark.parametrize(
        "payload",
        [
            b"",
            b"{}",
            b"null",
            b"[" * 100_000,
            b'{"command":"shell"}',
            b'{"command":"snapshot","id":"a b"}',
            b'{"command":"snapshot","id":"' + b"a" * 5000 + b'"}',
            b'{"command":"identify","id":7,"seconds":900}',
            b"\xff\xfe",
        ],
    )
    def test_who_is_not_to_be_known_gets_no_reply(self, outbox: Outbox, payload: bytes) -> None:
        called: list[int] = []
        assert obey(payload, outbox=outbox, snapshot=lambda: called.append(1)) is None
        assert not called

    @pytest.mark.parametrize(
        "payload",
        [
            b'{"command":"shell","id":"a"}',
            b'{"command":"snapshot","id":"a","extra":1}',
            b'{"command":"identify","id":"a","seconds":900}',
            b'{"command":"identify","id":"a","seconds":null}',
            b'{"command":"replay","id":"a","boot":"../../etc","first":1,"last":2}',
            b'{"command":"replay","id":"a","boot":"0000000000000000","first":-1,"last":2}',
        ],
    )
    def test_what_is_refused_is_answered(self, outbox: Outbox, payload: bytes) -> None:
        called: list[float] = []
        reply = obey(
            payload,
            outbox=outbox,
            snapshot=lambda: called.append(1),
            identify=called.append,
        )
        assert reply is not None
        assert (reply.id, reply.ok) == ("a", False)
        assert reply.problem.startswith("not a command: ")
        assert not called

    @given(payload=st.binary(max_size=300))
    def test_garbage_never_raises(self, payload: bytes) -> None:
        outbox = Outbox(
            Path("/nonexistent/o.db"),
            OutboxSettings(),
            node=NODE,
            boot="0" * 16,
            clock=SystemClock(),
        )
        obey(payload, outbox=outbox, snapshot=None)

    def test_replay_backwards_is_explained(self, outbox: Outbox) -> None:
        payload = b'{"command":"replay","id":"a","boot":"0000000000000000","first":5,"last":2}'
        reply = obey(payload, outbox=outbox, snapshot=None)
        assert reply is not None
        assert not reply.ok
        assert "before" in reply.problem

    def test_an_absurd_range_is_answered_without_harm(self, outbox: Outbox) -> None:
        payload = (
            b'{"command":"replay","id":"a","boot":"00000000000000ff","first":1,'
            b'"last":9223372036854775807}'
        )
        reply = obey(payload, outbox=outbox, snapshot=None)
        assert reply is not None
        assert reply.ok
        assert reply.gone[0].last == 2**63 - 1

    def test_a_snapshot_of_a_camera_that_is_down_is_explained(self, outbox: Outbox) -> None:
        def snapshot() -> None:
            raise CameraError("the camera is not running")

        reply = obey(b'{"command":"snapshot","id":"a"}', outbox=outbox, snapshot=snapshot)
        assert reply is not None
        assert (reply.ok, reply.problem) == (False, "the camera is not running")

    def test_a_snapshot_without_camera_is_explained(self, outbox: Outbox) -> None:
        reply = obey(b'{"command":"snapshot","id":"a"}', outbox=outbox, snapshot=None)
        assert reply is not None
        assert not reply.ok
        assert "no camera" in reply.problem

    def test_identify_reaches_the_lamp(self, outbox: Outbox) -> None:
        asked: list[float] = []
        payload = encode_command(Identify(id="a", seconds=5))
        assert obey(payload, outbox=outbox, snapshot=None, identify=asked.append) == Reply(
            id="a", ok=True
        )
        assert asked == [5]

    def test_a_lamp_that_nothing_lights_is_explained(self, outbox: Outbox) -> None:
        def identify(_seconds: float) -> None:
            raise BoardError("the lines are not open")

        payload = encode_command(Identify(id="a"))
        reply = obey(payload, outbox=outbox, snapshot=None, identify=identify)
        assert reply == Reply(id="a", ok=False, problem="the lines are not open")

    def test_identify_without_lamp_is_explained(self, outbox: Outbox) -> None:
        payload = encode_command(Identify(id="a"))
        reply = obey(payload, outbox=outbox, snapshot=None)
        assert reply is not None
        assert (reply.ok, reply.problem) == (False, "this node has no lamp")
