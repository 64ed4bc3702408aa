"""The newest of every node, fed by messages and shown as cameras.json; pure."""

import hashlib
from datetime import datetime

from msgspec import structs

from hub.public.cameras import CamerasFile, CameraView
from hub.public.place import Place
from hub.settings import Public
from node.messages import Envelope, State, StillInfo, Wifi

_VERSION_DIGITS = 8


class Fleet:
    """Every node that was heard of."""

    def __init__(self, settings: Public) -> None:
        self._settings = settings
        self._places: dict[str, Place] = {}

    def state(
        self, envelope: Envelope, state: State, *, received_at: datetime, retained: bool
    ) -> None:
        """Take a birth or a death."""
        place = self._place(envelope.node)
        known = place.state
        late_will = not state.online and known is not None and known.online
        if late_will and place.state_boot != envelope.boot:
            return  # the death of a former run, noticed after the birth of this one
        if not retained or place.spoke_at is None:
            place.spoke_at = received_at
        if known is not None and not state.online and not state.title:
            state = structs.replace(known, online=False)  # a bare will says nothing but death
        if retained and place.state_boot == envelope.boot and known == state:
            return  # the same again: who spoke since the broker said it first is still there
        place.state = state
        place.state_boot = envelope.boot
        place.state_at = received_at

    def heard(self, envelope: Envelope, *, received_at: datetime) -> None:
        """Take a measurement as a sign of life; after a death, only one that was not sent late."""
        place = self._place(envelope.node)
        place.spoke_at = received_at
        if not envelope.historical:
            place.heard(envelope, received_at)

    def wifi(self, envelope: Envelope, wifi: Wifi, *, received_at: datetime) -> None:
        """Take a hotspot measurement, unless it was sent late or a newer one is there."""
        place = self._place(envelope.node)
        old = place.wifi_from
        if envelope.historical:
            return
        if old is not None and old.boot == envelope.boot and old.seq >= envelope.seq:
            return
        place.wifi, place.wifi_from, place.wifi_received_at = wifi, envelope, received_at

    def still(self, info: StillInfo, jpeg: bytes, *, received_at: datetime, retained: bool) -> bool:
        """Take a still; return False when a newer one is there already."""
        place = self._place(info.node)
        if not retained:
            place.spoke_at = received_at
        if not place.takes(info):
            return False
        version = hashlib.sha256(jpeg).hexdigest()[:_VERSION_DIGITS]
        if version == place.still_version:
            return True  # the same again: what is known of its age stays
        place.still, place.still_version = info, version
        place.still_received_at = None if retained else received_at
        return True

    def forget_still(self, node: str) -> None:
        """Take a still back."""
        place = self._places.get(node)
        if place is not None:
            place.still, place.still_version, place.still_received_at = None, "", None

    def forget(self, node: str) -> None:
        """Take a node out, as when it is decommissioned."""
        self._places.pop(node, None)

    def nodes(self) -> frozenset[str]:
        """Return the names of the nodes that were heard of."""
        return frozenset(self._places)

    def online(self, now: datetime) -> frozenset[str]:
        """Return the names of the nodes that are there at `now`."""
        return frozenset(
            node for node, place in self._places.items() if place.online(now, self._settings)
        )

    def file(self, now: datetime) -> CamerasFile:
        """Return the content of cameras.json at `now`."""
        views = [place.view(now, self._settings) for place in self._places.values()]
        return CamerasFile(
            generated_at=now,
            stale_seconds=self._settings.stale_seconds,
            cameras=tuple(sorted((view for view in views if view is not None), key=_by_name)),
        )

    def _place(self, node: str) -> Place:
        return self._places.setdefault(node, Place(node))


def _by_name(view: CameraView) -> tuple[str, str]:
    return view.name.casefold(), view.id
