"""Waits at the broker until a new node has said everything that the checklist asks."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from node.messages import parse_topic
from provisioning.fleet import Fleet, NodeView
from provisioning.listen import BrokerAccess, listening

_KINDS = ("state", "frame", "health", "wifi", "camera")


class Ear:
    """What one node has said so far, and its newest still."""

    def __init__(self, node: str) -> None:
        """Listen for `node`; nothing was heard yet."""
        self._node = node
        self._fleet = Fleet()
        self._changed = threading.Condition()
        self.still = b""

    @property
    def view(self) -> NodeView:
        """What is known of the node."""
        return self._fleet.nodes.get(self._node) or NodeView(node=self._node)

    def hear(self, topic: str, payload: bytes) -> None:
        """Take in a message, of this node only."""
        parsed = parse_topic(topic)
        if parsed is None or parsed[0] != self._node:
            return
        with self._changed:
            self._fleet.hear(topic, payload)
            if parsed[1] == "frame":
                self.still = payload
            self._changed.notify_all()

    def wait_online(self, timeout_s: float) -> bool:
        """Return whether the node's birth came within the time."""
        with self._changed:
            return self._changed.wait_for(self._online, timeout_s)

    def wait_complete(self, timeout_s: float) -> bool:
        """Return whether everything the node's birth announces was heard within the time."""
        with self._changed:
            return self._changed.wait_for(self._complete, timeout_s)

    def _online(self) -> bool:
        return bool(self.view.state and self.view.state.online)

    def _complete(self) -> bool:
        view = self.view
        if view.state is None or not view.state.online or view.health is None:
            return False
        camera = not view.state.camera or (view.camera is not None and view.still_at is not None)
        return camera and (not view.state.hotspot or view.wifi is not None)


@contextmanager
def listening_for(node: str, access: BrokerAccess) -> Iterator[Ear]:
    """Give an ear that hears `node` while the context lasts. Raises FleetError."""
    ear = Ear(node)
    with listening(access, _KINDS, ear.hear):
        yield ear
