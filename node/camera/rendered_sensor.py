"""A sensor without a camera: a street scene that the program draws itself, for demos and tests."""

import time
from collections.abc import Iterator

from node import settings
from node.camera.frame import Frame
from node.camera.pace import wait_until
from node.camera.scene import Scene
from node.errors import CameraError


class RenderedSensor:
    """Frames of a drawn street in real time; each node's name has a street of its own."""

    simulated = True
    frames_dropped_count = 0  # a frame is drawn only when it is wanted

    def __init__(self, camera: settings.Camera, node_name: str) -> None:
        """Draw the street once."""
        self._interval_seconds = 1 / camera.frames_per_second
        self._scene = Scene(node_name, width=camera.width, height=camera.height)
        self._closed = False

    def frames(self) -> Iterator[Frame]:
        """Yield frames for ever. Raises CameraError once it is closed."""
        start = time.monotonic()
        due = start
        number = 0
        while not self._closed:
            wait_until(due)
            now = time.monotonic()
            yield Frame(self._scene.draw(now - start, number), now)
            number += 1
            due = max(due + self._interval_seconds, now)
        raise CameraError("the rendered camera was closed")

    def close(self) -> None:
        """End the frames."""
        self._closed = True
