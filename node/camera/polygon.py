"""Geometry of a mask: tells whether a polygon can be one, and which pixels it touches."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Point: TypeAlias = tuple[float, float]
"""x to the right and y down, relative to the frame: 0..1."""
Cells: TypeAlias = NDArray[np.bool_]
"""Which pixels are meant: [rows, columns]."""

_AREA_MIN = 1e-9  # of the frame; far below one pixel of any sensor


def problem_of(polygon: Sequence[Point]) -> str:
    """Return what keeps `polygon` from being a mask, in words for a person; empty if nothing."""
    count = len(polygon)
    if count < 3:  # noqa: PLR2004 - a triangle is the least polygon
        return f"{count} points are no area; give at least 3"
    for number, (x, y) in enumerate(polygon, start=1):
        if not (0 <= x <= 1 and 0 <= y <= 1):
            return f"point {number} [{x:g}, {y:g}] lies outside of the frame; coordinates go 0..1"
    first_at: dict[Point, int] = {}
    for number, point in enumerate(polygon, start=1):
        if point in first_at:
            return (
                f"points {first_at[point]} and {number} are the same; give each corner once, "
                "the outline closes by itself"
            )
        first_at[point] = number
    if crossing := _crossing(polygon):
        one, two = crossing
        return (
            f"the outline crosses itself (the line from point {one} and the line from "
            f"point {two}); give the corners in order around the area"
        )
    if abs(_area(polygon)) < _AREA_MIN:
        return "the points lie on one line and enclose nothing; move one of them"
    return ""


def touched(polygon: Sequence[Point], *, width: int, height: int) -> Cells:
    """Return every pixel of a width x height picture that the polygon touches, be it by a corner.

    A pixel is in when its centre is inside (even-odd rule) or an edge runs through its square.
    """
    corners = np.asarray(polygon, dtype=np.float64) * (width, height)
    cells: Cells = np.zeros((height, width), dtype=np.bool_)
    column_centres = np.arange(width) + 0.5
    row_centres = np.arange(height) + 0.5
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        (x0, y0), (x1, y1) = (start, end) if start[1] <= end[1] else (end, start)
        rows = np.flatnonzero((row_centres >= y0) & (row_centres < y1))
        if rows.size:
            crossings = x0 + (row_centres[rows] - y0) * ((x1 - x0) / (y1 - y0))
            cells[rows] ^= column_centres[None, :] > crossings[:, None]
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        _draw_edge(cells, start, end)
    return cells


def _draw_edge(cells: Cells, start: NDArray[np.float64], end: NDArray[np.float64]) -> None:
    """Mark every pixel whose closed square the edge meets, row by row."""
    height, width = cells.shape
    (x0, y0), (x1, y1) = (start, end) if start[1] <= end[1] else (end, start)
    first = max(0, int(np.ceil(y0)) - 1)
    last = min(height - 1, int(np.floor(y1)))
    rows = np.arange(first, last + 1)
    if y1 > y0:
        slope = (x1 - x0) / (y1 - y0)
        above = x0 + (np.clip(rows, y0, y1) - y0) * slope
        below = x0 + (np.clip(rows + 1, y0, y1) - y0) * slope
    else:
        above = np.full(rows.shape, x0)
        below = np.full(rows.shape, x1)
    lefts = np.ceil(np.minimum(above, below)).astype(int) - 1
    rights = np.floor(np.maximum(above, below)).astype(int)
    for row, left, right in zip(rows, lefts, rights, strict=True):
        cells[row, max(0, left) : min(width, right + 1)] = True


def _area(polygon: Sequence[Point]) -> float:
    """Return the signed area by the shoelace formula."""
    corners = np.asarray(polygon, dtype=np.float64)
    following = np.roll(corners, -1, axis=0)
    cross = corners[:, 0] * following[:, 1] - following[:, 0] * corners[:, 1]
    return float(cross.sum()) / 2


def _crossing(polygon: Sequence[Point]) -> tuple[int, int] | None:
    """Return the numbers (from 1) of the first two edges that meet where they should not."""
    count = len(polygon)
    edges = [(polygon[i], polygon[(i + 1) % count]) for i in range(count)]
    for i in range(count):
        for j in range(i + 1, count):
            if j == i + 1 or (i == 0 and j == count - 1):
                folded = _folds(edges[i], edges[j]) if count > 3 else False  # noqa: PLR2004 - a folded triangle has no area
                if folded:
                    return i + 1, j + 1
            elif _meet(edges[i], edges[j]):
                return i + 1, j + 1
    return None


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _within(a: Point, b: Point, c: Point) -> bool:
    """Tell whether `c`, known to be in line with a and b, lies between them."""
    return min(a[0], b[0]) <= c[0] <= max(a[0], b[0]) and min(a[1], b[1]) <= c[1] <= max(a[1], b[1])


def _meet(one: tuple[Point, Point], two: tuple[Point, Point]) -> bool:
    a, b = one
    c, d = two
    turns = (_turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b))
    if turns[0] * turns[1] < 0 and turns[2] * turns[3] < 0:
        return True
    return (
        (turns[0] == 0 and _within(a, b, c))
        or (turns[1] == 0 and _within(a, b, d))
        or (turns[2] == 0 and _within(c, d, a))
        or (turns[3] == 0 and _within(c, d, b))
    )


def _folds(one: tuple[Point, Point], two: tuple[Point, Point]) -> bool:
    """Tell whether two edges with one common corner lie on each other."""
    (shared,) = set(one) & set(two)
    (p,) = set(one) - {shared}
    (q,) = set(two) - {shared}
    ahead = (p[0] - shared[0]) * (q[0] - shared[0]) + (p[1] - shared[1]) * (q[1] - shared[1])
    return _turn(shared, p, q) == 0 and ahead > 0
