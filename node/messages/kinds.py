"""The list of kinds: every topic below a node that carries an envelope, and its model."""

from types import MappingProxyType

from msgspec import Struct

from node.messages.camera import Camera
from node.messages.commands import Reply
from node.messages.events import EVENTS
from node.messages.health import Health
from node.messages.state import State
from node.messages.wifi import Wifi

KINDS: MappingProxyType[str, type[Struct]] = MappingProxyType(
    {
        "state": State,
        "health": Health,
        "wifi": Wifi,
        "camera": Camera,
        "reply": Reply,
        **{f"event/{name}": model for name, model in EVENTS.items()},
    }
)
"""Kind, as in the topic and in the envelope, and the model of its data."""
