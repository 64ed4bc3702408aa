"""Asks a V4L2 driver which format and size it would really give (VIDIOC_TRY_FMT, videodev2.h).

FFmpeg decodes raw pictures in the size that it asked for even where the driver chose another, and
then refuses each of them; so it must ask for what the driver gives.
"""

import fcntl
import os
import struct
from dataclasses import dataclass

from node.camera.av_open import failure

_CAPTURE = 1  # V4L2_BUF_TYPE_VIDEO_CAPTURE
# The union of struct v4l2_format holds pointers: it is aligned as they are.
_HEAD = struct.Struct("@I0P")
_PIXELS = struct.Struct("=IIII")  # width, height, pixelformat, field of v4l2_pix_format
_FORMAT_BYTES = _HEAD.size + 200
_READ_AND_WRITE, _TRY_FMT = 3, 64
_REQUEST = (_READ_AND_WRITE << 30) | (_FORMAT_BYTES << 16) | (ord("V") << 8) | _TRY_FMT
# Raw 720p fills a USB 2 port at ten frames a second; MJPEG does not, so it comes first.
_FORMATS = (
    (b"MJPG", "mjpeg"),
    (b"JPEG", "mjpeg"),
    (b"YUYV", "yuyv422"),
    (b"YU12", "yuv420p"),
    (b"NV12", "nv12"),
    (b"UYVY", "uyvy422"),
)


@dataclass(frozen=True, slots=True)
class Offer:
    """What a driver would give."""

    name: str
    """FFmpeg's name of the format, for its option input_format."""
    width: int
    height: int


def nearest_offer(device: str, *, width: int, height: int) -> Offer:
    """Return the best format of `device` in the size nearest to width x height pixels.

    Raises CameraError when it is missing, no camera, or has no format that we read.
    """
    try:
        descriptor = os.open(device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise failure(device, getattr(error, "strerror", None) or str(error)) from error
    try:
        for code, name in _FORMATS:
            given_width, given_height, given = _try(descriptor, width, height, code)
            if given == code:
                return Offer(name, given_width, given_height)
    except OSError as error:
        raise failure(device, f"it is no camera ({error.strerror})") from error
    finally:
        os.close(descriptor)
    raise failure(device, "it offers neither MJPEG nor YUV 4:2:2 or 4:2:0")


def _try(descriptor: int, width: int, height: int, code: bytes) -> tuple[int, int, bytes]:
    """Return the width, height and format that the driver makes of the wish; nothing is set."""
    wish = bytearray(_FORMAT_BYTES)
    _HEAD.pack_into(wish, 0, _CAPTURE)
    _PIXELS.pack_into(wish, _HEAD.size, width, height, int.from_bytes(code, "little"), 0)
    fcntl.ioctl(descriptor, _REQUEST, wish)
    given_width, given_height, given, _ = _PIXELS.unpack_from(wish, _HEAD.size)
    return given_width, given_height, given.to_bytes(4, "little")
