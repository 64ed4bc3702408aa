"""What can happen to a node: one model for each event that it may raise."""

from types import MappingProxyType
from typing import Annotated

from msgspec import Meta, Struct


class SourceFailed(Struct, frozen=True, kw_only=True):
    """A source stopped with an error and will be started again."""

    source: Annotated[str, Meta(description="Name of the source.")]
    reason: Annotated[str, Meta(max_length=500, description="What went wrong.")]
    failures_count: Annotated[int, Meta(ge=1, description="Failures in a row.")]
    retry_seconds: Annotated[float, Meta(ge=0, description="Time until it is started again.")]


class SourceRecovered(Struct, frozen=True, kw_only=True):
    """A source that had failed works again."""

    source: Annotated[str, Meta(description="Name of the source.")]
    failures_count: Annotated[int, Meta(ge=1, description="Failures before it worked.")]


class OutboxDamaged(Struct, frozen=True, kw_only=True):
    """The outbox file was unreadable; it was set aside and what could be read was kept."""

    reason: Annotated[str, Meta(max_length=500, description="What SQLite said.")]
    salvaged_count: Annotated[int, Meta(ge=0, description="Messages carried over.")]


EVENTS: MappingProxyType[str, type[Struct]] = MappingProxyType(
    {
        "outbox-damaged": OutboxDamaged,
        "source-failed": SourceFailed,
        "source-recovered": SourceRecovered,
    }
)
"""Name of the event, as in the topic event/<name>, and its model."""
