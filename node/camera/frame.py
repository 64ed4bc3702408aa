"""What every sensor delivers: one picture in planar YUV 4:2:0, and when it was taken."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from node.errors import CameraError

Plane: TypeAlias = NDArray[np.uint8]
"""One plane of a picture: uint8, [rows, columns]."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Pixels as I420: Y, then U, then V, in full range and BT.601 as JPEG wants them (JFIF 1.02).

    `planes` is one writable, contiguous uint8 array of shape [height * 3 / 2, width]; `y`, `u` and
    `v` are views of it, so that a mask drawn on them is in the picture and nowhere else.
    """

    planes: Plane

    def __post_init__(self) -> None:
        """Raise CameraError when the array is not what every reader relies on."""
        planes = self.planes
        if planes.dtype != np.uint8 or planes.ndim != 2 or not planes.flags.c_contiguous:  # noqa: PLR2004 - rows and columns
            raise CameraError("a picture must be one contiguous uint8 array of rows and columns")
        rows, width = planes.shape
        if rows == 0 or rows % 3 or width == 0 or width % 2:
            raise CameraError(f"{width}x{rows} bytes are no planar 4:2:0 picture of even size")

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.planes.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.planes.shape[0]) * 2 // 3

    @property
    def y(self) -> Plane:
        """Luma, [height, width]; 0 is black, 255 white."""
        return self.planes[: self.height]

    @property
    def u(self) -> Plane:
        """Blue difference, [height / 2, width / 2]; 128 is none."""
        return self._chroma(0)

    @property
    def v(self) -> Plane:
        """Red difference, [height / 2, width / 2]; 128 is none."""
        return self._chroma(1)

    def _chroma(self, index: int) -> Plane:
        width, height = self.width, self.height
        size = width * height // 4
        start = width * height + index * size
        flat = self.planes.reshape(-1)[start : start + size]
        return flat.reshape(height // 2, width // 2)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One moment of the camera."""

    picture: Picture
    """The full picture, in the size that the settings ask for."""
    mono: float
    """CLOCK_MONOTONIC of the capture, in seconds."""
    lores: Picture | None = None
    """The same moment in small, where the sensor's hardware makes it for nothing."""


def blank_picture(width: int, height: int) -> Picture:
    """Return a black picture. Raises CameraError when the size is not even."""
    if width <= 0 or height <= 0 or width % 2 or height % 2:
        raise CameraError(f"{width}x{height} is no size for a 4:2:0 picture: both must be even")
    planes = np.full((height * 3 // 2, width), 128, dtype=np.uint8)
    planes[:height] = 0
    return Picture(planes)
