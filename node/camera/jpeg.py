"""Writes a picture as a JPEG whose masked areas stay exactly black."""

import numpy as np
import simplejpeg

from node.camera.frame import Picture
from node.errors import CameraError
from node.messages import STILL_BYTES_MAX

_NOTE_BYTES = 4096  # room for the note that the uplink adds
_SMALLER = 10  # steps of quality when a still is too large to send
_QUALITY_MIN = 10
_LUMA_DC_STEP = 16  # first entry of the luminance table, ITU T.81, table K.1
_BLACK_COEFFICIENT = 1024  # 8 * 128: the DC coefficient of a black block, its sign left out
_BLACK_AT_LEAST = 1021  # 8 * 127.5, rounded as the inverse transform does


def encode(picture: Picture, *, quality: int) -> bytes:
    """Return `picture` as a baseline JPEG (4:2:0) without Exif, small enough to be sent.

    `quality` is 1..100; the nearest one that keeps black exact is used, and a lower one when the
    picture would exceed STILL_BYTES_MAX. Raises CameraError when it cannot be encoded at all.
    """
    for attempt in range(quality, _QUALITY_MIN - 1, -_SMALLER):
        jpeg = _encode(picture, black_safe_quality(attempt))
        if len(jpeg) <= STILL_BYTES_MAX - _NOTE_BYTES:
            return jpeg
    raise CameraError(
        f"a still of {picture.width}x{picture.height} pixels stays above {STILL_BYTES_MAX} bytes "
        "at any quality; set a smaller still_width"
    )


def black_safe_quality(quality: int) -> int:
    """Return the quality nearest to `quality` at which a black block decodes to exactly 0.

    The coefficient of a black block is -1024. Where the quantiser's step does not divide it well,
    black comes back as 1 to 8: seen at 12, 15, 16, 18, 31, 70 and others. A masked pixel must be 0.
    """
    candidates = sorted(range(1, 101), key=lambda other: (abs(other - quality), -other))
    return next(other for other in candidates if _keeps_black(other))


def _keeps_black(quality: int) -> bool:
    # The scaling of libjpeg's jpeg_quality_scaling and jpeg_add_quant_table.
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality  # noqa: PLR2004 - libjpeg's own
    step = min(255, max(1, (_LUMA_DC_STEP * scale + 50) // 100))
    level = (_BLACK_COEFFICIENT + step // 2) // step
    return level * step >= _BLACK_AT_LEAST


def _encode(picture: Picture, quality: int) -> bytes:
    y, u, v = (np.ascontiguousarray(plane) for plane in (picture.y, picture.u, picture.v))
    try:
        return bytes(simplejpeg.encode_jpeg_yuv_planes(y, u, v, quality=quality))
    except (ValueError, RuntimeError) as error:
        raise CameraError(f"the still cannot be encoded as JPEG: {error}") from error
