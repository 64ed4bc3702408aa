"""Listens at the broker for everything that a new node says of itself."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from node.messages import parse_topic, topic_of
from provisioning.fleet import Fleet, NodeView
from provisioning.listen import BrokerAccess, line_to
from provisioning.live_stills import live_still_of

_KINDS = ("state", "frame", "health", "wifi", "camera")


class Ear:
    """What one node has said so far."""

    def __init__(self, node: str) -> None:
        """Listen for `node`; nothing was heard yet."""
        self._node = node
        self._fleet = Fleet()
        self._changed = threading.Condition()
        self.still = b""
        """The newest (JPEG) that the node took since; never one that the broker kept."""
        self.since_mono = time.monotonic()
        self.complete_mono = float("inf")

    @property
    def view(self) -> NodeView:
        """What is known of the node."""
        return self._fleet.nodes.get(self._node) or NodeView(node=self._node)

    @property
    def complete(self) -> bool:
        """Whether everything that the node's birth announces was heard."""
        return self.complete_mono != float("inf")

    def hear(self, topic: str, payload: bytes, arrived_at: datetime | None) -> None:
        """Take in a message, of this node only."""
        parsed = parse_topic(topic)
        if parsed is None or parsed[0] != self._node:
            return
        with self._changed:
            self._fleet.hear(topic, payload, arrived_at)
            if live_still_of(topic, payload, arrived_at):
                self.still = payload
            if not self.complete and _is_complete(self.view):
                self.complete_mono = time.monotonic()
            self._changed.notify_all()

    def wait_change(self, timeout_s: float) -> None:
        """Return when the node said something, or after the time."""
        with self._changed:
            self._changed.wait(timeout_s)


def _is_complete(view: NodeView) -> bool:
    if view.state is None or not view.state.online or view.health is None:
        return False
    if view.health.uplink_round_trip_seconds is None:
        return False  # said before the broker acknowledged anything; the next one knows
    camera = not view.state.camera or (view.camera is not None and view.still_at is not None)
    return camera and (not view.state.hotspot or view.wifi is not None)


@contextmanager
def listening_for(node: str, access: BrokerAccess) -> Iterator[Ear]:
    """Give an ear that hears `node` while the context lasts. Raises FleetError."""
    ear = Ear(node)
    topics = tuple(topic_of(node, kind) for kind in _KINDS)
    with line_to(access, (), ear.hear, topics=topics):
        yield ear
