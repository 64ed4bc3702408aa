"""Figures of the camera's line beside the least that any camera must do with a frame."""

import time
from collections.abc import Callable

import numpy as np
import pytest
import simplejpeg

from node.camera.adapters import open_sensor
from node.camera.fake_sensor import endless_noise
from node.camera.frame import Frame
from node.camera.mask import FrameMask
from node.camera.mask_file import parse_mask
from node.camera.still import still_maker
from node.settings import Camera

pytestmark = pytest.mark.bench

WIDTH, HEIGHT = 1280, 720
MASK = """
[[region]]
name = "windows"
polygon = [[0.1, 0.1], [0.4, 0.12], [0.38, 0.5], [0.12, 0.45]]
"""


def milliseconds(action: Callable[[], object], times: int = 30) -> float:
    """Return the median time of `action`."""
    took = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        took.append((time.perf_counter() - start) * 1000)
    return sorted(took)[times // 2]


def test_a_frame_on_its_way() -> None:
    camera = Camera(adapter="rendered", width=WIDTH, height=HEIGHT, frames_per_second=60)
    mask = parse_mask(MASK)
    frame_mask = FrameMask(mask, width=WIDTH, height=HEIGHT)
    make_still = still_maker(camera, mask)
    frame = Frame(next(endless_noise(width=WIDTH, height=HEIGHT)), 0.0)
    small = next(endless_noise(width=640, height=360))
    planes = [np.ascontiguousarray(plane) for plane in (small.y, small.u, small.v)]
    copying = milliseconds(frame.picture.planes.copy)
    masking = milliseconds(lambda: frame_mask.blacken(frame))
    still = milliseconds(lambda: make_still(frame))
    jpeg = milliseconds(lambda: simplejpeg.encode_jpeg_yuv_planes(*planes, quality=71))
    print(
        f"\n  720p frame: mask {masking:.2f} ms, {masking / copying:.2f} x copying the frame"
        f" ({copying:.2f} ms); still of 640x360 {still:.1f} ms, {still / jpeg:.1f} x its JPEG"
        f" alone ({jpeg:.1f} ms)",
        end="",
    )
    assert masking < copying * 2


def test_the_drawn_street() -> None:
    camera = Camera(adapter="rendered", width=WIDTH, height=HEIGHT, frames_per_second=60)
    sensor = open_sensor(camera, "taman-bunga")
    frames = sensor.frames()
    next(frames)
    before = time.process_time()
    for _ in range(60):
        next(frames)
    cost = (time.process_time() - before) / 60 * 1000
    sensor.close()
    print(f"\n  drawn street at 720p: {cost:.1f} ms of CPU a frame", end="")
    assert cost < 15
