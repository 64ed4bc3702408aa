"""The port that every camera meets: what gives frames, whatever is behind it."""

from collections.abc import Iterator
from typing import Protocol

from node.camera.frame import Frame


class Sensor(Protocol):
    """A camera that is open; it delivers until it is closed or fails."""

    @property
    def simulated(self) -> bool:
        """Whether the frames show something else than the street now (a clip, a drawing)."""

    @property
    def frames_dropped_count(self) -> int:
        """Frames that came too fast to be used, or were late, since it was opened."""

    def frames(self) -> Iterator[Frame]:
        """Yield frames of the size and at the rate that were asked for, each a picture of its own.

        It never ends by itself: when the sensor has no more to give, hangs or is unplugged, it
        raises CameraError. It is called once.
        """

    def close(self) -> None:
        """Give back the device; a second call does nothing. May hang where a driver does."""
