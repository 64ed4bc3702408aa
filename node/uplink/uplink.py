"""Keeps a connection to a broker: tries each in turn, converses, and tries again after a pause."""

import itertools
import logging
import threading
from collections.abc import Callable

from node.backoff import Backoff
from node.clock import Clock
from node.errors import UplinkError
from node.messages import topic_of
from node.outbox.outbox import Outbox
from node.settings import Uplink as UplinkSettings
from node.uplink.frame_slot import FrameSlot
from node.uplink.link import Link, LinkQuality, Message
from node.uplink.session import Session
from node.uplink.voice import Voice

_TURN_SECONDS = 1.0
_log = logging.getLogger(__name__)


class Uplink:
    """Runs in a thread of its own; `beat_mono` tells the supervisor that it is not stuck."""

    def __init__(
        self,
        settings: UplinkSettings,
        voice: Voice,
        *,
        make_link: Callable[[], Link],
        outbox: Outbox,
        frames: FrameSlot,
        clock: Clock,
    ) -> None:
        """Prepare; nothing is connected before `run`."""
        self._settings = settings
        self._voice = voice
        self._make_link = make_link
        self._outbox = outbox
        self._frames = frames
        self._clock = clock
        self._link: Link | None = None
        self._quality = LinkQuality()
        self._connects_count = 0
        self._beat_mono = clock.mono()

    @property
    def beat_mono(self) -> float:
        """Monotonic time, in seconds, at which the thread last went round."""
        return self._beat_mono

    @property
    def connected(self) -> bool:
        """Tell whether there is a connection now."""
        return self._link is not None

    @property
    def connects_count(self) -> int:
        """Connections made so far."""
        return self._connects_count

    @property
    def quality(self) -> LinkQuality:
        """Quality of the connection as last seen; empty without one."""
        return self._quality

    def wake(self) -> None:
        """Look again at what is to be sent; callable from any thread."""
        if (link := self._link) is not None:
            link.wake()

    def run(self, stop: threading.Event) -> None:
        """Connect, send, and connect again until `stop`; then say farewell."""
        backoff = Backoff(
            min_seconds=self._settings.backoff_min_seconds,
            max_seconds=self._settings.backoff_max_seconds,
        )
        for broker in itertools.cycle(self._settings.brokers):
            if stop.is_set():
                return
            try:
                self._converse(broker, stop, backoff)
            except UplinkError as error:
                pause_seconds = backoff.next_seconds()
                hint = self._clock_hint(error)
                _log.warning("%s%s; next try in %.1f s", error, hint, pause_seconds)
                self._rest(stop, pause_seconds)

    def _converse(self, broker: str, stop: threading.Event, backoff: Backoff) -> None:
        will = Message(
            topic=topic_of(self._voice.node, "state"), payload=self._voice.death(), retain=True
        )
        link = self._make_link()
        session = Session(
            link,
            self._voice,
            settings=self._settings,
            outbox=self._outbox,
            frames=self._frames,
            clock=self._clock,
        )
        try:
            link.open(broker, will)
            _log.info("connected to %s", broker)
            self._connects_count += 1
            session.greet()
            self._link = link
            self._outbox.attach(link.wake)
            while not stop.is_set():
                self._beat_mono = self._clock.mono()
                session.step(_TURN_SECONDS)
                self._quality = link.quality()
                if session.acknowledged_count:
                    backoff.reset()
            session.farewell()
            link.close()
        finally:
            self._link = None
            self._quality = LinkQuality()
            self._outbox.detach()
            link.abandon()

    def _rest(self, stop: threading.Event, seconds: float) -> None:
        end_mono = self._clock.mono() + seconds
        while (left_seconds := end_mono - self._clock.mono()) > 0:
            self._beat_mono = self._clock.mono()
            if stop.wait(min(_TURN_SECONDS, left_seconds)):
                return

    def _clock_hint(self, error: UplinkError) -> str:
        """Name the usual reason why a good certificate is refused on a node without a battery."""
        if "certificate" not in str(error) or self._clock.synced():
            return ""
        return f" (this node's clock is not synchronised and says {self._clock.wall():%Y-%m-%d})"
