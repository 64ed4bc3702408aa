"""Inside the guest: the agent's camera on the real picamera2 and libcamera's virtual camera.

Named on pytest's command line by tests/node/camera/test_picamera2_in_guest.py.
"""

import itertools
import threading
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import simplejpeg
from services.camera_process import Stills, masked_source

from node.camera.adapters import open_sensor
from node.errors import CameraError
from node.settings import Camera

WIDTH, HEIGHT = 320, 192


def camera(**changes: object) -> Camera:
    plain = Camera(
        adapter="picamera2",
        width=WIDTH,
        height=HEIGHT,
        frames_per_second=5,
        still_interval_seconds=0.2,
        stall_seconds=20,
        measure_interval_seconds=0.2,
    )
    return msgspec.structs.replace(plain, **changes)


def test_masked_stills_arrive(tmp_path: Path) -> None:
    stop = threading.Event()
    heard = Stills(camera(), stop.set)
    masked_source(camera(), tmp_path, start_seconds=90).run(heard, stop)
    assert len(set(heard.stills)) > 1, "the picture does not change"
    assert heard.measured[-1].running
    for still in heard.stills:
        picture = simplejpeg.decode_jpeg(still)
        assert picture.shape == (HEIGHT, WIDTH, 3)
        assert not picture[: HEIGHT // 5, : WIDTH // 5].any()
        assert picture.any()


def test_a_lores_picture_comes_with_each() -> None:
    with closing(open_sensor(camera(), "a")) as sensor:
        for frame in itertools.islice(sensor.frames(), 3):
            assert frame.lores is not None
            assert frame.lores.y.any()


def test_a_size_that_it_lacks_is_explained() -> None:
    with pytest.raises(CameraError, match=r"refuses 1600x1200 .* it offers \d+x\d+ instead"):
        open_sensor(camera(width=1600, height=1200), "a")


def test_a_busy_camera_is_explained() -> None:
    with closing(open_sensor(camera(), "a")) as first:
        assert list(itertools.islice(first.frames(), 1))
        with pytest.raises(CameraError, match="cannot be opened"):
            open_sensor(camera(), "a")
