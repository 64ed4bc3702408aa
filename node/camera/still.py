"""Turns a masked frame into the public still: small, masked once more at its own size, a JPEG."""

from collections.abc import Callable
from dataclasses import dataclass

from node import settings
from node.camera.downscale import downscale
from node.camera.frame import Frame
from node.camera.jpeg import encode
from node.camera.mask import FittedMask, fit_mask
from node.camera.mask_file import Mask


@dataclass(frozen=True, slots=True)
class PublicStill:
    """A still as the public may see it."""

    jpeg: bytes
    width: int
    height: int
    mono: float
    """CLOCK_MONOTONIC of the capture, in seconds."""


def still_size(camera: settings.Camera) -> tuple[int, int]:
    """Return width and height of the still: even, in the frame's aspect, never enlarged."""
    width = min(camera.still_width, camera.width)
    height = round(camera.height * width / camera.width / 2) * 2
    return width, min(max(2, height), camera.height)


def still_maker(camera: settings.Camera, mask: Mask) -> Callable[[Frame], PublicStill]:
    """Return what makes stills of these settings out of frames that are masked already.

    The mask is drawn again on the small picture: averaging lets light bleed into a masked pixel
    at its border, and the blocks of the small JPEG lie elsewhere.
    Raises MaskError when the mask leaves nothing of the still; the maker raises CameraError.
    """
    width, height = still_size(camera)
    fitted: FittedMask = fit_mask(mask, width=width, height=height)

    def make(frame: Frame) -> PublicStill:
        small = downscale(frame.picture, width=width, height=height)
        fitted.blacken(small)
        return PublicStill(encode(small, quality=camera.still_quality), width, height, frame.mono)

    return make
