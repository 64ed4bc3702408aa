"""The public file cameras.json: everything that the page knows."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct


class HotspotView(Struct, frozen=True, kw_only=True):
    """How busy the hotspot is; small numbers are not told, for they point at persons."""

    users: Annotated[
        int | None, Meta(description="Associated devices; null when unknown or too few to tell.")
    ]
    fewer_than: Annotated[
        int | None, Meta(description="Set when there are few: below this number.")
    ]
    simulated: Annotated[bool, Meta(description="True when the radio is simulated.")]


class CameraView(Struct, frozen=True, kw_only=True):
    """One place."""

    id: Annotated[str, Meta(description="Name of the node.")]
    name: Annotated[str, Meta(description="Name of the place, for people.")]
    site: Annotated[str, Meta(description="Site or junction.")]
    state: Annotated[
        Literal["online", "offline", "stale"],
        Meta(description="stale: the node is there, but its newest still is old or missing."),
    ]
    camera: Annotated[bool, Meta(description="Whether the node has a camera.")]
    updated_at: Annotated[
        datetime | None, Meta(description="When the still was taken; null when not known.")
    ]
    still: Annotated[str | None, Meta(description="Address of the still, relative to this file.")]
    simulated: Annotated[
        bool, Meta(description="True when the picture is replayed or rendered, not a street now.")
    ]
    hotspot: Annotated[HotspotView | None, Meta(description="null when there is none.")]


class CamerasFile(Struct, frozen=True, kw_only=True):
    """The whole file."""

    generated_at: Annotated[datetime, Meta(description="When this file was written.")]
    stale_seconds: Annotated[
        float, Meta(description="Age of a still at which it no longer shows the street as it is.")
    ]
    cameras: Annotated[tuple[CameraView, ...], Meta(description="Every place, by name.")]
