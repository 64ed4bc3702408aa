"""The agent: wires outbox, uplink and sources together and sees them through their lifecycle."""

import logging
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

import msgspec

from node import systemd
from node.clock import Clock
from node.commands import obey
from node.messages import BootLedger, Envelope, State, encode
from node.outbox.outbox import Outbox
from node.recorder import Recorder
from node.settings import NodeSettings
from node.source import Source
from node.supervisor import Part, supervise
from node.uplink.frame_slot import FrameSlot
from node.uplink.link import Link
from node.uplink.uplink import Uplink
from node.uplink.voice import Voice

_TICK_SECONDS = 1.0
_STUCK_SECONDS = 90.0
_STOP_SECONDS = 4.5
_log = logging.getLogger(__name__)


class Agent:
    """One run of the agent on one node."""

    def __init__(
        self, settings: NodeSettings, *, make_link: Callable[[], Link], clock: Clock
    ) -> None:
        """Wire everything but the sources; nothing runs before `run`."""
        self._settings = settings
        self._clock = clock
        self.boot = secrets.token_hex(8)
        self._snapshot: Callable[[], None] | None = None
        self._identify: Callable[[float], None] | None = None
        self._measuring: Sequence[Part] = ()
        self._frames = FrameSlot()
        self._outbox = Outbox(
            Path(settings.node.state_directory) / "outbox.db",
            settings.outbox,
            node=settings.node.name,
            boot=self.boot,
            clock=clock,
        )
        voice = Voice(
            node=settings.node.name, birth=self._birth, death=self._death, obey=self._obey
        )
        self._uplink = Uplink(
            settings.uplink,
            voice,
            make_link=make_link,
            outbox=self._outbox,
            frames=self._frames,
            clock=clock,
        )
        self._recorder = Recorder(
            self._outbox,
            self._frames,
            node=settings.node.name,
            boot=self.boot,
            clock=clock,
            on_frame=self._uplink.wake,
        )

    def figures(self) -> Mapping[str, float | int | bool | None]:
        """Return how outbox and uplink fare, by the names of messages.Health."""
        outbox = self._outbox.figures()
        quality = self._uplink.quality
        return {
            "outbox_bytes": outbox.held_bytes,
            "outbox_unsent_count": outbox.unsent_count,
            "outbox_sacrificed_count": outbox.sacrificed_count,
            "outbox_unrecorded_count": outbox.unrecorded_count,
            "outbox_volatile": outbox.volatile,
            "frames_replaced_count": self._frames.replaced_count,
            "uplink_connects_count": self._uplink.connects_count,
            "uplink_round_trip_seconds": quality.round_trip_seconds,
            "uplink_loss_ratio": quality.loss_ratio,
        }

    @property
    def connected(self) -> bool:
        """Tell whether there is a connection to a broker now."""
        return self._uplink.connected

    @property
    def ever_connected(self) -> bool:
        """Tell whether there has been a connection since the start."""
        return self._uplink.connects_count > 0

    def failing(self, source: str) -> bool:
        """Tell whether the source of this name failed and has not recovered since."""
        return any(part.failing for part in self._measuring if part.name == source)

    def run(
        self,
        sources: Sequence[Source],
        stop: threading.Event,
        *,
        snapshot: Callable[[], None] | None = None,
        identify: Callable[[float], None] | None = None,
    ) -> None:
        """Run until `stop` is set, then end within five seconds.

        `snapshot` asks the camera for a still now; None when there is no camera. `identify` has
        the lamp blink for so many seconds; None when there is no lamp.
        """
        self._snapshot = snapshot
        self._identify = identify
        self._outbox.commit()  # opens the file, so that the first birth knows what it holds
        part = partial(Part, sink=self._recorder, clock=self._clock)
        writer, uplink = part("outbox", self._outbox.run), part("uplink", self._uplink.run)
        measuring = supervise(sources, self._recorder, self._clock)
        self._measuring = measuring
        parts = [writer, uplink, *measuring]
        for each in parts:
            each.start()
        systemd.notify("READY=1")
        _log.info("run %s of %s started", self.boot, self._settings.node.name)
        self._watch(parts, stop)
        systemd.notify("STOPPING=1")
        self._end(measuring, writer, uplink)

    def _watch(self, parts: Sequence[Part], stop: threading.Event) -> None:
        interval_seconds = systemd.watchdog_interval_seconds() or _TICK_SECONDS
        while not stop.wait(min(_TICK_SECONDS, interval_seconds)):
            for part in parts:
                part.note_recovery()
            stuck_seconds = self._clock.mono() - self._uplink.beat_mono
            if stuck_seconds < _STUCK_SECONDS:
                systemd.notify("WATCHDOG=1")
            else:
                _log.critical("uplink is stuck for %.0f s", stuck_seconds)

    def _end(self, measuring: Sequence[Part], writer: Part, uplink: Part) -> None:
        """Stop sources, then the writer, then the uplink, so that the last word still goes out."""
        end_mono = self._clock.mono() + _STOP_SECONDS

        def left_seconds() -> float:
            return max(0.0, end_mono - self._clock.mono())

        for part in measuring:
            part.stop()
        for part in measuring:
            if not part.join(min(2.0, left_seconds())):
                _log.warning("%s did not stop in time", part.name)
        for part, wake in ((writer, self._outbox.hurry), (uplink, self._uplink.wake)):
            part.stop()
            wake()
            part.join(min(2.0, left_seconds()))
        self._outbox.close()
        _log.info("stopped")

    def _birth(self) -> bytes:
        return self._say("state", self._state(online=True, ledgers=self._outbox.ledgers()))

    def _death(self) -> bytes:
        return self._say("state", self._state(online=False))

    def _state(self, *, online: bool, ledgers: tuple[BootLedger, ...] = ()) -> State:
        """Say what the place is in a death, too: it may be all that a hub ever hears of it."""
        place, camera, hotspot = self._settings.node, self._settings.camera, self._settings.hotspot
        return State(
            online=online,
            title=place.title or place.name,
            site=place.site,
            agent_version=version("simpul"),
            camera=camera.adapter != "none",
            hotspot=hotspot.adapter != "none",
            simulated=self._settings.simulated,
            ledgers=ledgers,
        )

    def _obey(self, payload: bytes) -> bytes | None:
        reply = obey(payload, outbox=self._outbox, snapshot=self._snapshot, identify=self._identify)
        return None if reply is None else self._say("reply", reply)

    def _say(self, kind: str, data: msgspec.Struct) -> bytes:
        return encode(
            Envelope(
                node=self._settings.node.name,
                boot=self.boot,
                seq=0,
                at=self._clock.wall(),
                mono=round(self._clock.mono(), 3),
                clock_synced=self._clock.synced(),
                historical=False,
                kind=kind,
                data=msgspec.Raw(encode(data)),
            )
        )
