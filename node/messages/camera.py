"""What a node says of its camera, and the note that every still carries inside."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from node.messages.numbers import WHOLE_MAX, Whole


class Camera(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The camera since the previous measurement."""

    adapter: Annotated[str, Meta(description="Adapter named in the settings.")]
    running: Annotated[bool, Meta(description="Whether the camera process delivers frames.")]
    simulated: Annotated[
        bool, Meta(description="True when it replays a clip or renders a scene.")
    ] = False
    frame_age_seconds: Annotated[float | None, Meta(description="Age of the newest frame.")] = None
    frames_per_second: Annotated[float | None, Meta(description="Frames taken per second.")] = None
    width: Annotated[Whole | None, Meta(description="Width of a frame, in pixels.")] = None
    height: Annotated[Whole | None, Meta(description="Height of a frame, in pixels.")] = None
    frames_count: Annotated[Whole, Meta(description="Frames taken since the process started.")] = 0
    frames_dropped_count: Annotated[
        Whole, Meta(description="Frames that came too fast to be used, since the process started.")
    ] = 0
    restarts_count: Annotated[
        Whole,
        Meta(description="Times the camera process was started afresh, since the agent's start."),
    ] = 0
    masked_ratio: Annotated[
        float | None, Meta(description="Part of the picture that the masks blacken.")
    ] = None


class StillInfo(Struct, frozen=True, kw_only=True):
    """When and where a still was taken; stands as JSON in the JPEG's comment segment."""

    node: Annotated[str, Meta(description="Name of the node.")]
    boot: Annotated[str, Meta(description="Run of the agent.")]
    at: Annotated[datetime, Meta(tz=True, description="Wall time of the frame, RFC 3339, UTC.")]
    mono: Annotated[float, Meta(description="Monotonic clock of the frame, in seconds.")]
    clock_synced: Annotated[bool, Meta(description="Whether at can be trusted.")]
    width: Annotated[int, Meta(ge=1, le=WHOLE_MAX, description="Width, in pixels.")]
    height: Annotated[int, Meta(ge=1, le=WHOLE_MAX, description="Height, in pixels.")]
    simulated: Annotated[bool, Meta(description="True when replayed or rendered.")] = False
