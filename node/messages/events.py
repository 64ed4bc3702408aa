"""What can happen to a node: one model for each event that it may raise."""

from types import MappingProxyType
from typing import Annotated, Literal

from msgspec import Meta, Struct

from node.messages.numbers import WHOLE_MAX, Whole


class SourceFailed(Struct, frozen=True, kw_only=True):
    """A source stopped with an error and will be started again."""

    source: Annotated[str, Meta(description="Name of the source.")]
    reason: Annotated[str, Meta(max_length=500, description="What went wrong.")]
    failures_count: Annotated[int, Meta(ge=1, le=WHOLE_MAX, description="Failures in a row.")]
    retry_seconds: Annotated[float, Meta(ge=0, description="Time until it is started again.")]


class SourceRecovered(Struct, frozen=True, kw_only=True):
    """A source that had failed works again."""

    source: Annotated[str, Meta(description="Name of the source.")]
    failures_count: Annotated[
        int, Meta(ge=1, le=WHOLE_MAX, description="Failures before it worked.")
    ]


class ButtonPressed(Struct, frozen=True, kw_only=True):
    """Somebody pressed the service button."""

    press: Annotated[
        Literal["short", "long"], Meta(description="long: held for three seconds or more.")
    ]


class Tamper(Struct, frozen=True, kw_only=True):
    """The box was opened or closed; an agent that starts in an open box says so, too."""

    opened: Annotated[bool, Meta(description="True when the box is open now.")]


class OutboxDamaged(Struct, frozen=True, kw_only=True):
    """The outbox file was unreadable; it was set aside and what could be read was kept."""

    reason: Annotated[str, Meta(max_length=500, description="What SQLite said.")]
    salvaged_count: Annotated[Whole, Meta(description="Messages carried over.")]


EVENTS: MappingProxyType[str, type[Struct]] = MappingProxyType(
    {
        "button": ButtonPressed,
        "outbox-damaged": OutboxDamaged,
        "source-failed": SourceFailed,
        "source-recovered": SourceRecovered,
        "tamper": Tamper,
    }
)
"""Name of the event, as in the topic event/<name>, and its model."""
