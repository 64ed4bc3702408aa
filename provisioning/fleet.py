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


class NodeView(Struct, kw_only=True):
    """What is known of one node; None where nothing was heard yet."""

    node: str
    state: State | None = None
    state_at: datetime | None = None
    still_at: datetime | None = None
    health: Health | None = None
    wifi: Wifi | None = None
    camera: Camera | None = None
    heard_at: datetime | None = None


class Fleet:
    """Every node that was heard, by name."""

    def __init__(self) -> None:
        """Start knowing nobody."""
        self.nodes: dict[str, NodeView] = {}
        self.garbage_count = 0

    def hear(self, topic: str, payload: bytes) -> None:
        """Take in a message; one that does not follow the contract is counted and skipped."""
        parsed = parse_topic(topic)
        if parsed is None:
            return
        node, kind = parsed
        try:
            if kind == "frame":
                self._view(node).still_at = read_still_info(payload).at
            elif kind != "cmd":
                self._take(node, decode_envelope(payload))
        except MessageError:
            self.garbage_count += 1

    def _take(self, node: str, envelope: Envelope) -> None:
        if envelope.node != node:
            raise MessageError(f"{envelope.node} speaks on the topic of {node}")
        view = self._view(node)
        if envelope.kind == "state":
            view.state = decode_data(envelope, State)
            view.state_at = envelope.at
            return
        if envelope.historical:
            return
        view.heard_at = envelope.at
        if envelope.kind == "health":
            view.health = decode_data(envelope, Health)
        elif envelope.kind == "wifi":
            view.wifi = decode_data(envelope, Wifi)
        elif envelope.kind == "camera":
            view.camera = decode_data(envelope, Camera)

    def _view(self, node: str) -> NodeView:
        return self.nodes.setdefault(node, NodeView(node=node))
