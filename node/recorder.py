"""The sink of every source: stamps what they say and lays it into the outbox."""

from collections.abc import Callable
from datetime import timedelta

from msgspec import Struct

from node.clock import Clock
from node.messages import StillInfo, write_still_info
from node.outbox.batch import Rank
from node.outbox.outbox import Outbox
from node.uplink.frame_slot import FrameSlot


class Recorder:
    """See the port `Sink`."""

    def __init__(
        self,
        outbox: Outbox,
        frames: FrameSlot,
        *,
        node: str,
        boot: str,
        clock: Clock,
        on_frame: Callable[[], None],
    ) -> None:
        """Record for run `boot` of `node`; `on_frame` wakes the uplink."""
        self._outbox = outbox
        self._frames = frames
        self._node = node
        self._boot = boot
        self._clock = clock
        self._on_frame = on_frame

    def measure(self, kind: str, data: Struct) -> None:
        """Take a measurement."""
        self._outbox.put(Rank.MEASUREMENT, kind, data)

    def event(self, name: str, data: Struct) -> None:
        """Take an event."""
        self._outbox.put(Rank.EVENT, f"event/{name}", data)

    def frame(self, jpeg: bytes, *, width: int, height: int, mono: float, simulated: bool) -> None:
        """Take a still; its wall time is worked out from the age of the frame."""
        age = timedelta(seconds=max(0.0, self._clock.mono() - mono))
        info = StillInfo(
            node=self._node,
            boot=self._boot,
            at=self._clock.wall() - age,
            mono=round(mono, 3),
            clock_synced=self._clock.synced(),
            width=width,
            height=height,
            simulated=simulated,
        )
        self._frames.put(write_still_info(jpeg, info))
        self._on_frame()
