"""A camera for tests that behaves: it delivers what it is given, and fails or hangs when told."""

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from node.camera.frame import Frame, Picture, blank_picture
from node.camera.pace import wait_until
from node.errors import CameraError


@dataclass(frozen=True, slots=True)
class Hang:
    """Step of a fake camera: deliver nothing until it is closed, as a stuck driver does."""


@dataclass(frozen=True, slots=True)
class Fail:
    """Step of a fake camera: fail with this reason, as an unplugged one does."""

    reason: str


Step = Picture | Frame | Hang | Fail
"""What a fake camera does next; a Picture is stamped now, a Frame keeps its own time."""


class FakeSensor:
    """Carries out `steps` one by one at `frames_per_second`, then fails like a lost camera."""

    simulated = True
    frames_dropped_count = 0

    def __init__(self, steps: Iterable[Step], *, frames_per_second: float = 100.0) -> None:
        self._steps = iter(steps)
        self._interval_seconds = 1 / frames_per_second
        self._closed = threading.Event()

    def frames(self) -> Iterator[Frame]:
        """Yield the given frames. Raises CameraError when told to, when closed, and at the end."""
        for step in self._steps:
            due = time.monotonic() + self._interval_seconds
            match step:
                case Hang():
                    self._closed.wait()
                case Fail(reason):
                    raise CameraError(reason)
                case Frame():
                    yield step
                case Picture():
                    yield Frame(Picture(step.planes.copy()), time.monotonic())
            if self._closed.is_set():
                raise CameraError("the fake camera was closed")
            wait_until(due)
        raise CameraError("the fake camera has no more frames")

    def close(self) -> None:
        """Let a hang end, too."""
        self._closed.set()


def endless_noise(
    *, width: int, height: int, seed: int = 0, low: int = 0, high: int = 255
) -> Iterator[Picture]:
    """Yield pictures of noise for ever; each pixel is new in each of them."""
    random = np.random.default_rng(seed)
    while True:
        picture = blank_picture(width, height)
        picture.planes[:] = random.integers(
            low, high, size=picture.planes.shape, dtype=np.uint8, endpoint=True
        )
        yield picture
