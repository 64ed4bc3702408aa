"""Inside the guest: a V4L2 camera that is unplugged, busy or silent, on the kernel's vivid driver.

Named on pytest's command line by tests/node/camera/test_v4l2_in_guest.py; vivid is loaded by then.
"""

import itertools
import subprocess
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

DEVICE = "/dev/video0"
WIDTH, HEIGHT = 320, 192


def camera() -> Camera:
    return Camera(
        adapter="v4l2",
        source=DEVICE,
        width=WIDTH,
        height=HEIGHT,
        frames_per_second=5,
        still_interval_seconds=0.2,
        stall_seconds=5,
        measure_interval_seconds=0.2,
    )


def control(setting: str) -> None:
    subprocess.run(["v4l2-ctl", "-d", DEVICE, "-c", setting], check=True)


def run(directory: Path, then: str = "") -> Stills:
    """Run the camera as the agent does, until the fifth still or, with `then`, until it fails."""
    stop = threading.Event()
    heard = Stills(camera(), (lambda: control(then)) if then else stop.set)
    source = masked_source(camera(), directory)
    if not then:
        source.run(heard, stop)
        return heard
    with pytest.raises(CameraError) as caught:
        source.run(heard, stop)
    (directory / "said").write_text(str(caught.value))
    assert heard.measured[-1].running is False
    return heard


def test_masked_stills_arrive(tmp_path: Path) -> None:
    heard = run(tmp_path)
    assert len(set(heard.stills)) > 1, "the picture does not change"
    picture = simplejpeg.decode_jpeg(heard.stills[-1])
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert not picture[: HEIGHT // 5, : WIDTH // 5].any()
    assert picture.any()


def test_an_unplugged_camera_is_explained(tmp_path: Path) -> None:
    run(tmp_path, then="disconnect=1")
    said = (tmp_path / "said").read_text()
    assert DEVICE in said
    assert "unplugged" in said or "No such device" in said
    run(tmp_path)  # plugged in again, it streams


def test_a_camera_without_frames_is_killed(tmp_path: Path) -> None:
    try:
        run(tmp_path, then="percentage_of_dropped_buffers=100")
    finally:
        control("percentage_of_dropped_buffers=0")
    assert "no new frame" in (tmp_path / "said").read_text()


def test_a_busy_camera_is_explained() -> None:
    with closing(open_sensor(camera(), "a")) as first:
        assert list(itertools.islice(first.frames(), 1))
        with pytest.raises(CameraError, match="busy"):
            open_sensor(camera(), "a")


def test_no_device_is_explained() -> None:
    missing = msgspec.structs.replace(camera(), source="/dev/video63")
    with pytest.raises(CameraError, match=r"/dev/video63: No such file"):
        open_sensor(missing, "a")
