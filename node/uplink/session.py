"""What is under way on one connection: which messages fly, and what goes next."""

import logging
from collections import deque
from collections.abc import Callable

from msgspec import Struct

from node.clock import Clock
from node.errors import UplinkError
from node.messages import encode, topic_of
from node.outbox.outbox import Delivery, Outbox
from node.settings import Uplink as UplinkSettings
from node.uplink.frame_slot import FrameSlot
from node.uplink.link import Acknowledged, Link, Message
from node.uplink.voice import Voice

_FAREWELL_SECONDS = 1.0
_REPLIES_MAX = 64
_FRAME_PATIENCE = 2.0
"""How many times the acknowledgement timeout a still may take: all else waits behind it."""

_log = logging.getLogger(__name__)


class _Parcel:
    """A delivery on its way: what waits to be published, and how many are not acknowledged."""

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        self.waiting = deque(delivery.envelopes)
        self.open_count = len(delivery.envelopes)


class _Flight(Struct):
    since_mono: float
    parcel: _Parcel | None = None
    is_frame: bool = False
    was_behind_frame: bool = False


class Session:
    """Sends on an open link: replies, then fresh messages, the newest still, then history."""

    def __init__(
        self,
        link: Link,
        voice: Voice,
        *,
        settings: UplinkSettings,
        outbox: Outbox,
        frames: FrameSlot,
        clock: Clock,
    ) -> None:
        """Prepare; nothing is sent before `greet`."""
        self._link = link
        self._voice = voice
        self._settings = settings
        self._outbox = outbox
        self._frames = frames
        self._clock = clock
        self._flights: dict[int, _Flight] = {}
        self._lanes: dict[str, _Parcel] = {}
        self._replies: deque[bytes] = deque(maxlen=_REPLIES_MAX)
        self._delivered = False
        self.acknowledged_count = 0

    def greet(self) -> None:
        """Listen for commands, then tell of the birth. Raises UplinkError, as every method here."""
        self._link.subscribe(topic_of(self._voice.node, "cmd"))
        self._publish(self._state(self._voice.birth()))

    def step(self, timeout_seconds: float) -> None:
        """Send what may be sent, then wait for something to happen and take it in."""
        while len(self._flights) < self._settings.in_flight_max and self._send_next():
            pass
        self._take_in(timeout_seconds)
        self._require_acknowledgements()

    def farewell(self) -> None:
        """Send what is fresh and the death, and wait a moment for their acknowledgement."""
        end_mono = self._clock.mono() + _FAREWELL_SECONDS
        while self._send_fresh():
            pass
        self._publish(self._state(self._voice.death()))
        while self._flights and (left_seconds := end_mono - self._clock.mono()) > 0:
            self._take_in(left_seconds)

    def _require_acknowledgements(self) -> None:
        oldest = next(iter(self._flights.values()), None)
        if oldest is None:
            return
        limit_seconds = self._settings.acknowledge_timeout_seconds
        if self._frame_flies():
            limit_seconds *= _FRAME_PATIENCE
        if self._clock.mono() - oldest.since_mono > limit_seconds:
            raise UplinkError(f"the broker acknowledged nothing for {limit_seconds:g} s")

    def _send_next(self) -> bool:
        if self._replies:
            reply = self._replies.popleft()
            self._publish(Message(topic=topic_of(self._voice.node, "reply"), payload=reply))
            return True
        return self._send_fresh() or self._send_frame() or self._send_history()

    def _send_fresh(self) -> bool:
        return self._send_from("fresh", self._outbox.take_fresh)

    def _send_history(self) -> bool:
        # A quarter of the window stays open for what is measured next.
        window = self._settings.in_flight_max
        if len(self._flights) >= window - window // 4:
            return False
        return self._send_from("history", self._outbox.take_history)

    def _send_from(self, lane: str, take: Callable[[], Delivery | None]) -> bool:
        parcel = self._lanes.get(lane)
        if parcel is None:
            delivery = take()
            if delivery is None:
                return False
            parcel = self._lanes[lane] = _Parcel(delivery)
        envelope = parcel.waiting.popleft()
        if not parcel.waiting:
            del self._lanes[lane]
        topic = topic_of(self._voice.node, envelope.kind)
        self._publish(Message(topic=topic, payload=encode(envelope)), parcel=parcel)
        return True

    def _send_frame(self) -> bool:
        # One still at a time: on a slow uplink the next one should be newer, not queued.
        if self._frame_flies():
            return False
        # A still may be too much for this link: each connection must bring something else first.
        if not self._delivered and self._outbox.figures().unsent_count:
            return False
        frame = self._frames.take()
        if frame is None:
            return False
        topic = topic_of(self._voice.node, "frame")
        self._publish(Message(topic=topic, payload=frame, retain=True), is_frame=True)
        return True

    def _frame_flies(self) -> bool:
        return any(flight.is_frame for flight in self._flights.values())

    def _publish(
        self, message: Message, *, parcel: _Parcel | None = None, is_frame: bool = False
    ) -> None:
        token = self._link.publish(message)
        self._flights[token] = _Flight(self._clock.mono(), parcel, is_frame)

    def _take_in(self, timeout_seconds: float) -> None:
        for happening in self._link.turn(timeout_seconds):
            if isinstance(happening, Acknowledged):
                self._landed(happening.token)
            elif happening.retained:
                # Somebody's mistake: it would be obeyed anew at every connect, for ever.
                _log.warning("%s: a retained command is not obeyed", happening.topic)
            elif (reply := self._voice.obey(happening.payload)) is not None:
                self._replies.append(reply)

    def _landed(self, token: int) -> None:
        flight = self._flights.pop(token, None)
        self.acknowledged_count += 1
        if flight is None:
            return
        if flight.is_frame:
            self._begin_anew()
        if flight.parcel is None:
            return
        flight.parcel.open_count -= 1
        if flight.parcel.open_count == 0:
            self._outbox.acknowledge(flight.parcel.delivery)
            self._delivered = True

    def _begin_anew(self) -> None:
        """Give those their full time who were sent behind a still; once, or none is ever missed."""
        for flight in self._flights.values():
            if not flight.was_behind_frame:
                flight.was_behind_frame, flight.since_mono = True, self._clock.mono()

    def _state(self, payload: bytes) -> Message:
        return Message(topic=topic_of(self._voice.node, "state"), payload=payload, retain=True)
