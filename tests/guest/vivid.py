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

from node.camera.adapters import open_sensor
from node.camera.source import CameraSource, camera_command
from node.errors import CameraError
from node.messages import Camera as Measured
from node.settings import Camera

DEVICE = "/dev/video0"
WIDTH, HEIGHT = 320, 192
MASK = '[[region]]\nname = "a"\npolygon = [[0, 0], [0.2, 0], [0.2, 0.2], [0, 0.2]]\n'


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


class Ledger:
    """A sink that remembers, and does `then` at the fifth still."""

    def __init__(self, then: str, stop: threading.Event) -> None:
        self.stills: list[bytes] = []
        self.measured: list[Measured] = []
        self._then = then
        self._stop = stop

    def measure(self, kind: str, data: msgspec.Struct) -> None:
        assert kind == "camera"
        assert isinstance(data, Measured)
        self.measured.append(data)

    def event(self, name: str, data: msgspec.Struct) -> None:
        raise NotImplementedError

    def frame(self, jpeg: bytes, *, width: int, height: int, mono: float, simulated: bool) -> None:
        assert (width, height) == (WIDTH, HEIGHT)
        assert mono > 0
        assert not simulated
        self.stills.append(jpeg)
        if len(self.stills) == 5:
            control(self._then) if self._then else self._stop.set()


def run(directory: Path, then: str = "") -> Ledger:
    """Run the camera as the agent does, until the fifth still or, with `then`, until it fails."""
    (directory / "mask.toml").write_text(MASK)
    settings = msgspec.structs.replace(camera(), mask_file=str(directory / "mask.toml"))
    values = msgspec.to_builtins(settings).items()
    lines = [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in values]
    file = directory / "node.toml"
    file.write_text(
        '[node]\nname = "taman-bunga"\n[uplink]\nbrokers = ["mqtt://127.0.0.1:1"]\n[camera]\n'
        + "\n".join(lines)
    )
    stop = threading.Event()
    ledger = Ledger(then, stop)
    source = CameraSource(settings, camera_command(file), start_seconds=60)
    if not then:
        source.run(ledger, stop)
        return ledger
    with pytest.raises(CameraError) as caught:
        source.run(ledger, stop)
    (directory / "said").write_text(str(caught.value))
    assert ledger.measured[-1].running is False
    return ledger


def test_masked_stills_arrive(tmp_path: Path) -> None:
    ledger = run(tmp_path)
    assert len(set(ledger.stills)) > 1, "the picture does not change"
    picture = simplejpeg.decode_jpeg(ledger.stills[-1])
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
