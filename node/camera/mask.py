"""Blackens the masked regions of a picture in place, so that no later reader ever sees them.

A JPEG (4:2:0) is coded in blocks of 16 x 16 pixels, and its decoder smooths the colour over one
pixel across their borders (libjpeg's fancy upsampling). For every pixel of a region to decode to
exactly black, the regions grow by two pixels and then to the borders of those blocks.
"""

from dataclasses import dataclass

import numpy as np

from node.camera.frame import Frame, Picture
from node.camera.mask_file import Mask
from node.camera.polygon import Cells, touched
from node.errors import MaskError

BLOCK_PIXELS = 16
"""Side of a JPEG's minimum coded unit at 4:2:0 (ITU T.81, A.2.3)."""
GROW_PIXELS = 2
"""How far a region is widened before it is aligned to blocks."""

_BLACK_Y = 0
_NO_COLOUR = 128


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Pixels of one masked area: rows top..bottom and columns left..right, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int


@dataclass(frozen=True, slots=True)
class FittedMask:
    """A mask made ready for pictures of one size."""

    width: int
    height: int
    rectangles: tuple[Rectangle, ...]
    masked_ratio: float
    """Part of the picture that becomes black, 0..1."""

    def blacken(self, picture: Picture) -> None:
        """Draw the mask into `picture`. Raises MaskError when it has another size."""
        if (picture.width, picture.height) != (self.width, self.height):
            raise MaskError(
                f"a mask for {self.width}x{self.height} cannot be drawn on a picture of "
                f"{picture.width}x{picture.height}"
            )
        y, u, v = picture.y, picture.u, picture.v
        for area in self.rectangles:
            y[area.top : area.bottom, area.left : area.right] = _BLACK_Y
            rows = slice(area.top // 2, (area.bottom + 1) // 2)
            columns = slice(area.left // 2, (area.right + 1) // 2)
            u[rows, columns] = _NO_COLOUR
            v[rows, columns] = _NO_COLOUR


class FrameMask:
    """A mask for whole frames: the picture and, where there is one, the small picture beside it."""

    def __init__(self, mask: Mask, *, width: int, height: int) -> None:
        """Raise MaskError when nothing of a width x height picture would be left to see."""
        self._mask = mask
        self._main = fit_mask(mask, width=width, height=height)
        self._lores: FittedMask | None = None

    @property
    def masked_ratio(self) -> float:
        """Part of the picture that becomes black, 0..1."""
        return self._main.masked_ratio

    def blacken(self, frame: Frame) -> None:
        """Draw the mask into all of `frame`. Raises MaskError when that cannot be done."""
        self._main.blacken(frame.picture)
        if frame.lores is None:
            return
        size = (frame.lores.width, frame.lores.height)
        if self._lores is None or (self._lores.width, self._lores.height) != size:
            self._lores = fit_mask(self._mask, width=size[0], height=size[1])
        self._lores.blacken(frame.lores)


def fit_mask(mask: Mask, *, width: int, height: int) -> FittedMask:
    """Return `mask` for pictures of width x height pixels.

    Raises MaskError when nothing of the picture would be left to see.
    """
    cells: Cells = np.zeros((height, width), dtype=np.bool_)
    for region in mask.region:
        cells |= touched(region.polygon, width=width, height=height)
    blocks = _blocks(_grown(cells))
    if blocks.all():
        raise MaskError(
            f"the regions blacken the whole picture of {width}x{height} pixels; make them smaller "
            "or, where nothing may be seen at all, set the camera's adapter to none"
        )
    rectangles = _rectangles(blocks, width=width, height=height)
    masked = sum((r.bottom - r.top) * (r.right - r.left) for r in rectangles)
    return FittedMask(width, height, rectangles, masked / (width * height))


def _grown(cells: Cells) -> Cells:
    """Return `cells` widened by GROW_PIXELS in all eight directions."""
    for _ in range(GROW_PIXELS):
        wide = cells.copy()
        wide[:, 1:] |= cells[:, :-1]
        wide[:, :-1] |= cells[:, 1:]
        cells = wide.copy()
        cells[1:] |= wide[:-1]
        cells[:-1] |= wide[1:]
    return cells


def _blocks(cells: Cells) -> Cells:
    """Return which coded blocks hold a cell, [block rows, block columns]."""
    height, width = cells.shape
    rows, columns = -(-height // BLOCK_PIXELS), -(-width // BLOCK_PIXELS)
    padded: Cells = np.zeros((rows * BLOCK_PIXELS, columns * BLOCK_PIXELS), dtype=np.bool_)
    padded[:height, :width] = cells
    blocks = padded.reshape(rows, BLOCK_PIXELS, columns, BLOCK_PIXELS).any(axis=(1, 3))
    return np.asarray(blocks, dtype=np.bool_)


def _rectangles(blocks: Cells, *, width: int, height: int) -> tuple[Rectangle, ...]:
    """Return few rectangles, in pixels, that cover the blocks: equal runs of rows are joined."""
    done: list[Rectangle] = []
    growing: dict[tuple[int, int], int] = {}
    for row in range(blocks.shape[0] + 1):
        runs = _runs(blocks[row]) if row < blocks.shape[0] else set()
        done += [
            _in_pixels(growing.pop(run), row, run, width=width, height=height)
            for run in growing.keys() - runs
        ]
        for run in runs - growing.keys():
            growing[run] = row
    return tuple(done)


def _runs(row: Cells) -> set[tuple[int, int]]:
    """Return the runs of True as (start, end)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], row, [False])).astype(np.int8)))
    return {(int(start), int(end)) for start, end in edges.reshape(-1, 2)}


def _in_pixels(
    top: int, bottom: int, run: tuple[int, int], *, width: int, height: int
) -> Rectangle:
    return Rectangle(
        top * BLOCK_PIXELS,
        min(height, bottom * BLOCK_PIXELS),
        run[0] * BLOCK_PIXELS,
        min(width, run[1] * BLOCK_PIXELS),
    )
