"""Draws smooth shapes with numpy alone, for the street scene that the program renders itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from node.camera.frame import Plane

Colour: TypeAlias = tuple[float, float, float]
"""Red, green, blue; 0..255."""
_Floats: TypeAlias = NDArray[np.float32]

# Full-range BT.601 as in JFIF: rows are Y, Cb, Cr.
_YCBCR = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]],
    dtype=np.float32,
)


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A drawing in YUV 4:2:0 with its coverage: 0 leaves what is behind, 256 hides it."""

    y: Plane
    u: Plane
    v: Plane
    alpha: NDArray[np.int16]
    alpha_chroma: NDArray[np.int16]


class Canvas:
    """A transparent sheet; its units are `scale` pixels, x to the right and y down."""

    def __init__(self, width: float, height: float, *, scale: float) -> None:
        """Make a sheet of width x height units, rounded up to whole pairs of pixels."""
        self._scale = scale
        columns, rows = (2 * int(np.ceil(side * scale / 2)) for side in (width, height))
        self._rgb: _Floats = np.zeros((rows, columns, 3), dtype=np.float32)
        self._alpha: _Floats = np.zeros((rows, columns), dtype=np.float32)

    def box(
        self,
        left: float,
        top: float,
        right: float,
        bottom: float,
        colour: Colour,
        *,
        ink: float = 1,
    ) -> None:
        """Fill an upright rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour, ink=ink)

    def shade(self, top: float, bottom: float, above: Colour, below: Colour) -> None:
        """Fill a band over the full width whose colour runs from `above` to `below`."""
        first, last = (round(side * self._scale) for side in (top, bottom))
        rows = self._rgb[max(0, first) : last]
        part = np.linspace(0, 1, max(1, rows.shape[0]), dtype=np.float32)[: rows.shape[0], None]
        rows[:] = (np.asarray(above) * (1 - part) + np.asarray(below) * part)[:, None, :]
        self._alpha[max(0, first) : last] = 1

    def ellipse(
        self, x: float, y: float, across: float, down: float, colour: Colour, *, ink: float = 1
    ) -> None:
        """Fill an ellipse around x, y with these half axes."""
        area = self._area(x - across, y - down, x + across, y + down)
        columns, rows = self._centres(area)
        far = np.hypot((columns - x) / across, (rows - y) / down)
        edge = max(min(across, down) * self._scale, 0.5)
        self._paint(area, np.clip((1 - far) * edge + 0.5, 0, 1), colour, ink)

    def glow(self, x: float, y: float, radius: float, colour: Colour, *, ink: float) -> None:
        """Brighten around x, y, fading to nothing at `radius`."""
        area = self._area(x - radius, y - radius, x + radius, y + radius)
        columns, rows = self._centres(area)
        far = np.hypot(columns - x, rows - y) / radius
        self._paint(area, np.clip(1 - far, 0, 1) ** 2, colour, ink)

    def polygon(
        self, points: Sequence[tuple[float, float]], colour: Colour, *, ink: float = 1
    ) -> None:
        """Fill a convex polygon; its corners go clockwise as seen on the screen."""
        across, down = [p[0] for p in points], [p[1] for p in points]
        area = self._area(min(across), min(down), max(across), max(down))
        columns, rows = self._centres(area)
        coverage: _Floats = np.ones(np.broadcast_shapes(columns.shape, rows.shape), np.float32)
        for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
            length = float(np.hypot(x1 - x0, y1 - y0)) or 1.0
            inward = ((x1 - x0) * (rows - y0) - (y1 - y0) * (columns - x0)) / length
            coverage *= np.clip(inward * self._scale + 0.5, 0, 1)
        self._paint(area, coverage, colour, ink)

    def line(
        self, start: tuple[float, float], end: tuple[float, float], thick: float, colour: Colour
    ) -> None:
        """Draw a straight stroke."""
        along = np.subtract(end, start)
        x, y = along / (float(np.hypot(*along)) or 1.0) * thick / 2
        corners = [
            (start[0] + y, start[1] - x),
            (end[0] + y, end[1] - x),
            (end[0] - y, end[1] + x),
            (start[0] - y, start[1] + x),
        ]
        self.polygon(corners, colour)

    def layer(self) -> Layer:
        """Return the drawing in YUV 4:2:0."""
        yuv = self._rgb @ _YCBCR.T
        rows, columns = self._alpha.shape
        halves = (rows // 2, 2, columns // 2, 2)
        # Colour is averaged by coverage, else transparent pixels would bleed black into edges.
        weight = self._alpha.reshape(halves).sum(axis=(1, 3))
        chroma = [
            (yuv[..., i] * self._alpha).reshape(halves).sum(axis=(1, 3)) / np.maximum(weight, 1e-6)
            for i in (1, 2)
        ]
        return Layer(
            _bytes(yuv[..., 0]),
            _bytes(chroma[0] + 128),
            _bytes(chroma[1] + 128),
            np.rint(self._alpha * 256).astype(np.int16),
            np.rint(weight * 64).astype(np.int16),
        )

    def _area(self, left: float, top: float, right: float, bottom: float) -> tuple[slice, slice]:
        """Return rows and columns that a shape within these units may touch."""
        rows, columns = self._alpha.shape
        return (
            slice(
                int(np.clip(np.floor(top * self._scale - 1), 0, rows)),
                int(np.clip(np.ceil(bottom * self._scale + 1), 0, rows)),
            ),
            slice(
                int(np.clip(np.floor(left * self._scale - 1), 0, columns)),
                int(np.clip(np.ceil(right * self._scale + 1), 0, columns)),
            ),
        )

    def _centres(self, area: tuple[slice, slice]) -> tuple[_Floats, _Floats]:
        """Return x of the columns [1, n] and y of the rows [m, 1], in units."""
        rows, columns = (
            ((np.arange(side.start, side.stop) + 0.5) / self._scale).astype(np.float32)
            for side in area
        )
        return columns[None, :], rows[:, None]

    def _paint(
        self, area: tuple[slice, slice], coverage: _Floats, colour: Colour, ink: float
    ) -> None:
        coverage = coverage * np.float32(ink)
        behind = self._alpha[area]
        together = coverage + behind * (1 - coverage)
        # The share of the new colour in what is seen: over nothing, it is all of it.
        share = coverage / np.maximum(together, 1e-6)
        rgb = self._rgb[area]
        rgb += (np.asarray(colour, dtype=np.float32) - rgb) * share[..., None]
        self._alpha[area] = together


def _bytes(values: _Floats) -> Plane:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
