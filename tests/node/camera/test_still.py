"""The public still: exact averages, the right size, exact black, and small enough to send."""

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st

from node.camera.downscale import downscale
from node.camera.fake_sensor import endless_noise
from node.camera.frame import Frame, blank_picture
from node.camera.jpeg import black_safe_quality, encode
from node.camera.mask_file import Mask
from node.camera.still import still_maker, still_size
from node.errors import CameraError
from node.messages import STILL_BYTES_MAX
from node.settings import Camera


@pytest.mark.parametrize("quality", range(10, 96))
def test_black_decodes_to_exactly_black(quality: int) -> None:
    assert not simplejpeg.decode_jpeg(encode(blank_picture(64, 48), quality=quality)).any()


def test_a_quality_that_keeps_black_is_kept() -> None:
    assert black_safe_quality(75) == 75
    assert black_safe_quality(70) != 70, "at 70 libjpeg turns black into (1, 1, 1)"
    assert abs(black_safe_quality(70) - 70) <= 3


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 20).map(lambda n: 2 * n),
    st.integers(2, 20).map(lambda n: 2 * n),
    st.integers(0, 1000),
    st.data(),
)
def test_each_small_pixel_is_the_mean_of_its_area(
    width: int, height: int, seed: int, data: st.DataObject
) -> None:
    small_width = 2 * data.draw(st.integers(1, width // 2))
    small_height = 2 * data.draw(st.integers(1, height // 2))
    picture = next(endless_noise(width=width, height=height, seed=seed))
    small = downscale(picture, width=small_width, height=small_height)
    # The same by enlarging: every pixel repeated until the sizes divide each other.
    repeated = picture.y.repeat(small_height, axis=0).repeat(small_width, axis=1)
    expected = repeated.reshape(small_height, height, small_width, width).mean(axis=(1, 3))
    assert np.abs(small.y - expected).max() <= 0.51


@pytest.mark.parametrize(
    ("width", "height", "still_width", "expected"),
    [
        (1280, 720, 640, (640, 360)),
        (768, 576, 512, (512, 384)),
        (320, 192, 640, (320, 192)),
        (4096, 64, 64, (64, 2)),
    ],
)
def test_a_still_keeps_the_aspect_and_is_never_enlarged(
    width: int, height: int, still_width: int, expected: tuple[int, int]
) -> None:
    camera = Camera(width=width, height=height, still_width=still_width)
    assert still_size(camera) == expected
    make_still = still_maker(camera, Mask(nothing_to_mask=True))
    still = make_still(Frame(blank_picture(width, height), 7.5))
    assert simplejpeg.decode_jpeg(still.jpeg).shape == (expected[1], expected[0], 3)
    assert (still.width, still.height, still.mono) == (*expected, 7.5)


def test_the_largest_still_can_be_sent() -> None:
    picture = next(endless_noise(width=1280, height=1280))
    assert len(encode(picture, quality=95)) <= STILL_BYTES_MAX


def test_a_still_carries_no_exif() -> None:
    assert b"Exif" not in encode(blank_picture(64, 48), quality=70)


def test_a_picture_is_never_enlarged() -> None:
    with pytest.raises(CameraError, match="never enlarged"):
        downscale(blank_picture(64, 48), width=128, height=96)
