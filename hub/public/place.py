"""What the hub knows of one node now, and what of it is public; pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hub.public.cameras import CameraView, HotspotView
from hub.settings import Public
from node.messages import Envelope, State, StillInfo, Wifi

_ALIVE_AFTER_DEATH = timedelta(seconds=5)
_ANCHOR_SPAN = timedelta(hours=1)


@dataclass(slots=True)
class Place:
    """One node, as far as the messages told. Every moment is in UTC."""

    node: str
    state: State | None = None
    state_boot: str = ""
    state_at: datetime | None = None
    live_at: datetime | None = None
    """When the newest measurement came that was not sent late."""
    spoke_at: datetime | None = None
    """When anything came, late or not; what is retained was said at some time before."""
    anchor_boot: str = ""
    anchor_since: datetime | None = None
    anchors: tuple[datetime, ...] = ()
    """Wall time of the hub at which the node's monotonic clock was zero, for anchor_boot: the
    earliest of the hour since anchor_since, then the earliest of the hour before."""
    still: StillInfo | None = None
    still_version: str = ""
    still_received_at: datetime | None = None
    """None for a retained still: then its reception tells nothing of its age."""
    wifi: Wifi | None = None
    wifi_from: Envelope | None = None
    wifi_received_at: datetime | None = None

    def online(self, now: datetime, settings: Public) -> bool:
        """Whether the node is there: by its birth, or because it speaks after its death.

        A broker that crashed brings births back, but not the wills of those who died since.
        """
        if self.state is None or self.state_at is None or self.spoke_at is None:
            return False
        if (now - self.spoke_at).total_seconds() > settings.silent_seconds:
            return False
        if self.state.online:
            return True
        return self.live_at is not None and self.live_at - self.state_at > _ALIVE_AFTER_DEATH

    def heard(self, envelope: Envelope, received_at: datetime) -> None:
        """Take a live message as a sign of life, and to date the node's monotonic clock.

        A message may have waited underway, so the earliest zero of the clock is the right one.
        Not for ever: one clock may run faster than the other, and the hub's may be set.
        """
        self.live_at = max(received_at, self.live_at or received_at)
        try:
            zero = received_at - timedelta(seconds=envelope.mono)
        except OverflowError:
            return
        known = self.anchors if self.anchor_boot == envelope.boot else ()
        # A hub's clock that was set back makes an age negative: that hour is over as well.
        age = abs(received_at - (self.anchor_since or received_at))
        if known and age < _ANCHOR_SPAN:
            self.anchors = (min(zero, known[0]), *known[1:])
            return
        self.anchors = (zero, *known[:1]) if age < 2 * _ANCHOR_SPAN else (zero,)
        self.anchor_boot, self.anchor_since = envelope.boot, received_at

    def takes(self, info: StillInfo) -> bool:
        """Whether a still is newer than the one that is there."""
        old = self.still
        if old is None:
            return True
        if old.boot == info.boot:
            return info.mono >= old.mono
        return not (old.clock_synced and info.clock_synced) or info.at >= old.at

    def view(self, now: datetime, settings: Public) -> CameraView | None:
        """Return what is public, or None when the node never said what it is."""
        if self.state is None and self.still is None:
            return None
        state = self.state or State(online=False)
        updated_at = self._still_taken_at()
        old = updated_at is None or (now - updated_at).total_seconds() > settings.stale_seconds
        camera = state.camera or self.still is not None
        online = self.online(now, settings)
        return CameraView(
            id=self.node,
            name=state.title or self.node,
            site=state.site,
            state=("offline" if not online else "stale" if camera and old else "online"),
            camera=camera,
            updated_at=updated_at,
            still=f"stills/{self.node}.jpg?v={self.still_version}" if self.still else None,
            simulated=self.still.simulated if self.still else state.simulated,
            hotspot=self._hotspot(now, settings, state, online=online),
        )

    def _still_taken_at(self) -> datetime | None:
        still = self.still
        if still is None:
            return None
        return self._moment(
            at=still.at if still.clock_synced else None,
            boot=still.boot,
            mono=still.mono,
            received_at=self.still_received_at,
        )

    def _hotspot(
        self, now: datetime, settings: Public, state: State, *, online: bool
    ) -> HotspotView | None:
        if not state.hotspot and self.wifi is None:
            return None
        unknown = HotspotView(users=None, fewer_than=None, simulated=state.simulated)
        if self.wifi is None or self.wifi_from is None:
            return unknown
        envelope = self.wifi_from
        taken_at = self._moment(
            at=envelope.at if envelope.clock_synced else None,
            boot=envelope.boot,
            mono=envelope.mono,
            received_at=self.wifi_received_at,
        )
        old = taken_at is None or (now - taken_at).total_seconds() > settings.hotspot_stale_seconds
        if old or not online or not self.wifi.up:
            return HotspotView(users=None, fewer_than=None, simulated=self.wifi.simulated)
        few = self.wifi.stations_count < settings.hotspot_users_min
        return HotspotView(
            users=None if few else self.wifi.stations_count,
            fewer_than=settings.hotspot_users_min if few else None,
            simulated=self.wifi.simulated,
        )

    def _moment(
        self, *, at: datetime | None, boot: str, mono: float, received_at: datetime | None
    ) -> datetime | None:
        """Date something by the best clock there is; it is never later than its reception."""
        best = at.astimezone(UTC) if at is not None else None
        if best is None and self.anchors and self.anchor_boot == boot:
            try:
                best = min(self.anchors) + timedelta(seconds=mono)
            except OverflowError:
                best = None
        if best is None or received_at is None:
            return best or received_at
        return min(best, received_at)
