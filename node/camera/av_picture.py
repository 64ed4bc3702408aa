"""Turns decoded frames of PyAV into pictures of ours: scaled to cover, cut, in full range."""

from fractions import Fraction

import av
import numpy as np

from node.camera.frame import Picture, Plane, blank_picture
from node.errors import CameraError


def to_picture(frame: av.VideoFrame, *, width: int, height: int) -> Picture:
    """Return `frame` as a picture of width x height pixels.

    It is scaled until it covers the picture and cut equally on both sides: nothing is stretched
    and no bars are added, so that a mask's coordinates mean what they say.
    Raises CameraError when swscale cannot convert the format.
    """
    cover_width, cover_height = cover_size(frame.width, frame.height, width, height)
    try:
        scaled = frame.reformat(
            width=cover_width,
            height=cover_height,
            format="yuv420p",
            dst_colorspace="ITU601",
            dst_color_range="JPEG",
        )
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise CameraError(f"frames in {frame.format.name} cannot be converted: {error}") from error
    picture = blank_picture(width, height)
    left, top = _even((cover_width - width) // 2), _even((cover_height - height) // 2)
    for plane, target, part in zip(
        scaled.planes, (picture.y, picture.u, picture.v), (1, 2, 2), strict=True
    ):
        rows, columns = target.shape
        flat: Plane = np.frombuffer(memoryview(plane), dtype=np.uint8)
        pixels = flat.reshape(-1, plane.line_size)
        target[:] = pixels[top // part :, left // part :][:rows, :columns]
    return picture


def cover_size(from_width: int, from_height: int, width: int, height: int) -> tuple[int, int]:
    """Return the least even size in the aspect of the source that covers width x height."""
    scale = max(Fraction(width, from_width), Fraction(height, from_height))
    return (
        max(width, _even(-int(-(from_width * scale) // 1) + 1)),
        max(height, _even(-int(-(from_height * scale) // 1) + 1)),
    )


def _even(value: int) -> int:
    """Return `value` or the even number below."""
    return value // 2 * 2
