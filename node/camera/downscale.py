"""Makes a picture smaller by averaging areas, so that nothing flickers and noise goes down."""

import numpy as np
from numpy.typing import NDArray

from node.camera.frame import Picture, Plane, blank_picture
from node.errors import CameraError


def downscale(picture: Picture, *, width: int, height: int) -> Picture:
    """Return a new picture of width x height pixels, both even and none larger than before.

    Raises CameraError for a size that is larger or odd.
    """
    if width > picture.width or height > picture.height:
        raise CameraError(
            f"a still of {width}x{height} pixels cannot be made from a frame of "
            f"{picture.width}x{picture.height}; stills are never enlarged"
        )
    small = blank_picture(width, height)
    for plane, target in (
        (picture.y, small.y),
        (picture.u, small.u),
        (picture.v, small.v),
    ):
        target[:] = _shrink(plane, target.shape[0], target.shape[1])
    return small


def _shrink(plane: Plane, rows: int, columns: int) -> Plane:
    if plane.shape == (rows, columns):
        return plane
    if plane.shape[0] % rows or plane.shape[1] % columns:
        areas = _average(_average(plane.astype(np.float32), rows).T, columns).T
        return (areas + 0.5).astype(np.uint8)
    return _shrink_whole(plane, plane.shape[0] // rows, plane.shape[1] // columns)


def _shrink_whole(plane: Plane, down: int, right: int) -> Plane:
    """Average blocks of down x right pixels; adding strided views is the fastest in numpy."""
    total = np.zeros((plane.shape[0] // down, plane.shape[1] // right), dtype=np.uint32)
    for row in range(down):
        for column in range(right):
            total += plane[row::down, column::right]
    return ((total + down * right // 2) // (down * right)).astype(np.uint8)


def _average(values: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return `count` rows, each the exact mean of its share of the rows of `values`.

    The running sum, read between its entries by linear interpolation, is the integral of the rows.
    """
    length = values.shape[0]
    total = np.zeros((length + 1, values.shape[1]), dtype=np.float64)
    np.cumsum(values, axis=0, out=total[1:])
    borders = np.arange(count + 1) * (length / count)
    whole = np.minimum(borders.astype(int), length - 1)
    part = (borders - whole)[:, None]
    integral = total[whole] + part * values[whole]
    means: NDArray[np.float32] = (np.diff(integral, axis=0) * (count / length)).astype(np.float32)
    return means
