"""Keeps what the broker says of every node: the truth behind `simpul status` and `watch`."""

from datetime import datetime

from msgspec import Struct

from node.messages import (
    Camera,
    Envelope,
    Health,
    MessageError,
    State,
    Wifi,
    decode_data,
    decode_envelope,
    parse_topic,
    read_still_info,
)

_CLOCKS_DIFFER_SECONDS = 60.0


class NodeView(Struct, kw_only=True):
    """What is known of one node; None where nothing was heard yet, or no clock can be believed."""

    node: str
    state: State | None = None
    state_at: datetime | None = None
    state_not_before: datetime | None = None
    """Of a death whose moment is not known: a last will carries the time of the connect."""
    still_at: datetime | None = None
    still_clock_synced: bool = True
    health: Health | None = None
    wifi: Wifi | None = None
    camera: Camera | None = None
    heard_at: datetime | None = None


def age_seconds(at: datetime, now: datetime) -> float | None:
    """Return how long ago that was, or None when it is further ahead than two set clocks differ."""
    seconds = (now - at).total_seconds()
    return None if seconds < -_CLOCKS_DIFFER_SECONDS else max(0.0, seconds)


class Fleet:
    """Every node that was heard, by name."""

    def __init__(self) -> None:
        """Start knowing nobody."""
        self.nodes: dict[str, NodeView] = {}
        self.garbage_count = 0
        self._states: dict[str, tuple[str, float, bool]] = {}

    def hear(self, topic: str, payload: bytes, arrived_at: datetime | None = None) -> None:
        """Take in a message; one that does not follow the contract is counted and skipped.

        `arrived_at` is None where that tells nothing of its age, as of a retained one.
        """
        parsed = parse_topic(topic)
        if parsed is None:
            return
        node, kind = parsed
        try:
            if kind == "frame":
                info = read_still_info(payload)
                view = self._view(node)
                # Of a still that was heard as it was taken no clock need be asked.
                live = arrived_at is not None and not info.clock_synced
                view.still_at = arrived_at if live else info.at
                view.still_clock_synced = live or info.clock_synced
            elif kind != "cmd":
                self._take(node, decode_envelope(payload), arrived_at)
        except MessageError:
            self.garbage_count += 1

    def _take(self, node: str, envelope: Envelope, arrived_at: datetime | None) -> None:
        if envelope.node != node:
            raise MessageError(f"{envelope.node} speaks on the topic of {node}")
        view = self._view(node)
        if envelope.kind == "state":
            self._take_state(view, envelope, arrived_at)
            return
        if envelope.historical:
            return
        view.heard_at = arrived_at or _written_at(envelope)
        if envelope.kind == "health":
            view.health = decode_data(envelope, Health)
        elif envelope.kind == "wifi":
            view.wifi = decode_data(envelope, Wifi)
        elif envelope.kind == "camera":
            view.camera = decode_data(envelope, Camera)

    def _take_state(self, view: NodeView, envelope: Envelope, arrived_at: datetime | None) -> None:
        state = decode_data(envelope, State)
        said = (envelope.boot, envelope.mono, state.online)
        if arrived_at is None and self._states.get(view.node) == said:
            return  # the same again, after a reconnect: what is known of its moment stays
        self._states[view.node] = said
        written_at = _written_at(envelope)
        view.state = state
        view.state_at = arrived_at or (written_at if state.online else None)
        view.state_not_before = None if state.online or arrived_at else written_at

    def _view(self, node: str) -> NodeView:
        return self.nodes.setdefault(node, NodeView(node=node))


def _written_at(envelope: Envelope) -> datetime | None:
    return envelope.at if envelope.clock_synced else None
