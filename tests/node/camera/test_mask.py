"""What a mask covers is exactly black in the JPEG, and no bad mask file lets a picture through."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from node.camera.fake_sensor import endless_noise
from node.camera.frame import Frame
from node.camera.mask import FrameMask
from node.camera.mask_file import Mask, Region, load_mask, parse_mask
from node.camera.polygon import Point, problem_of
from node.camera.still import still_maker
from node.errors import MaskError
from node.settings import Camera

COORDINATES = st.floats(0, 1).map(lambda value: round(value, 3))
POLYGONS = st.lists(st.tuples(COORDINATES, COORDINATES), min_size=3, max_size=7)
SIZES = st.sampled_from([(64, 48), (160, 96), (320, 176)])


def region(*points: Point) -> str:
    corners = ", ".join(f"[{x}, {y}]" for x, y in points)
    return f'[[region]]\nname = "door"\npolygon = [{corners}]\n'


def inside(polygon: list[Point], width: int, height: int) -> np.ndarray:
    """Return the pixels whose centre lies strictly inside, worked out anew by winding."""
    pixels = np.zeros((height, width), dtype=bool)
    for row in range(height):
        y = (row + 0.5) / height
        crossings = sorted(
            x0 + (y - y0) * (x1 - x0) / (y1 - y0)
            for (x0, y0), (x1, y1) in zip(polygon, polygon[1:] + polygon[:1], strict=True)
            if (y0 > y) != (y1 > y)
        )
        for left, right in zip(crossings[::2], crossings[1::2], strict=True):
            centres = (np.arange(width) + 0.5) / width
            pixels[row] |= (centres > left) & (centres < right)
    return pixels


@settings(max_examples=150, deadline=None)
@given(POLYGONS, SIZES, st.integers(0, 1000), st.sampled_from([30, 64, 70, 92]), st.booleans())
def test_every_masked_pixel_is_black_in_the_still(
    polygon: list[Point],
    size: tuple[int, int],
    seed: int,
    quality: int,
    bright: bool,  # noqa: FBT001 - hypothesis draws it
) -> None:
    assume(not problem_of(polygon))
    width, height = size
    mask = Mask(region=(Region(name="door", polygon=tuple(polygon)),))
    camera = Camera(width=width, height=height, still_width=64, still_quality=quality)
    try:
        frame_mask = FrameMask(mask, width=width, height=height)
        make_still = still_maker(camera, mask)
    except MaskError:
        return  # nothing of the picture would be left: no picture, which is safe
    noise = endless_noise(width=width, height=height, seed=seed, low=200 if bright else 0)
    frame = Frame(next(noise), 1.0)
    frame_mask.blacken(frame)
    masked = inside(polygon, width, height)
    assert not frame.picture.y[masked].any()
    still = make_still(frame)
    decoded = simplejpeg.decode_jpeg(still.jpeg)
    assert decoded.shape[:2] == (still.height, still.width)
    assert not decoded[inside(polygon, still.width, still.height)].any()


def test_a_mask_leaves_the_rest_of_the_picture_alone() -> None:
    mask = parse_mask(region((0.1, 0.1), (0.2, 0.1), (0.2, 0.2), (0.1, 0.2)))
    frame_mask = FrameMask(mask, width=320, height=320)
    picture = next(endless_noise(width=320, height=320, low=10))
    frame = Frame(picture, 1.0)
    frame_mask.blacken(frame)
    black = picture.y == 0
    assert black.mean() == pytest.approx(frame_mask.masked_ratio)
    assert 0.01 < frame_mask.masked_ratio < 0.05
    assert not black[100:].any()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "nothing_to_mask = true"),
        ("nothing_to_mask = false", "nothing_to_mask = true"),
        (
            "nothing_to_mask = true\n" + region((0, 0), (0.1, 0), (0.1, 0.1)),
            "remove one of the two",
        ),
        (region((0, 0), (0.1, 0.1)), "at least 3"),
        (region((0, 0), (0.5, 0.5), (1, 1)), "one line"),
        (region((0, 0), (0.5, 0), (1.5, 0.5)), "1"),
        (region((0, 0), (0.5, 0.5), (0.5, 0), (0, 0.5)), "crosses itself"),
        (region((0, 0), (0.5, 0), (0.5, 0)), "are the same"),
        ('[[region]]\nname = "x"\npolygon = [[0,0],[nan,0],[0,1]]', "region.0.polygon.1.0"),
        ('[[region]]\nname = "x"\ncolour = 1\npolygon = [[0,0],[1,0],[0,1]]', "colour"),
        ("[[region", "not valid TOML"),
    ],
)
def test_an_impossible_mask_is_refused_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(MaskError, match=r"^mask\.toml") as caught:
        parse_mask(text)
    assert words in str(caught.value)


def test_the_line_of_the_wrong_region_is_named() -> None:
    good = region((0, 0), (0.1, 0), (0.1, 0.1))
    with pytest.raises(MaskError, match=r"^mask\.toml:4: "):
        parse_mask(good + region((0, 0), (0.1, 0.1)))


def test_a_missing_mask_file_means_no_picture(tmp_path: Path) -> None:
    with pytest.raises(MaskError, match="there is no picture"):
        load_mask(tmp_path / "none.toml")


def test_a_mask_over_everything_is_refused() -> None:
    with pytest.raises(MaskError, match="whole picture"):
        FrameMask(parse_mask(region((0, 0), (1, 0), (1, 1), (0, 1))), width=320, height=240)


@given(st.text())
def test_garbage_raises_nothing_but_a_mask_error(text: str) -> None:
    with contextlib.suppress(MaskError):
        parse_mask(text)


@given(st.lists(st.tuples(st.floats(), st.floats()), max_size=8))
def test_any_polygon_is_a_mask_or_a_mask_error(points: list[Point]) -> None:
    try:
        mask = parse_mask(region(*points))
    except MaskError:
        return
    with contextlib.suppress(MaskError):
        FrameMask(mask, width=160, height=96)
