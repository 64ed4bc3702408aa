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

from node.camera.adapters import open_sensor
from node.camera.source import CameraSource, camera_command
from node.errors import CameraError
from node.messages import Camera as Measured
from node.settings import Camera

WIDTH, HEIGHT = 320, 192
MASK = '[[region]]\nname = "a"\npolygon = [[0, 0], [0.2, 0], [0.2, 0.2], [0, 0.2]]\n'
STILLS_COUNT = 5


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


class Ledger:
    """A sink that remembers, and ends the run at the fifth still."""

    def __init__(self, stop: threading.Event) -> None:
        self.stills: list[bytes] = []
        self.measured: list[Measured] = []
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
        if len(self.stills) == STILLS_COUNT:
            self._stop.set()


def test_masked_stills_arrive(tmp_path: Path) -> None:
    (tmp_path / "mask.toml").write_text(MASK)
    settings = camera(mask_file=str(tmp_path / "mask.toml"))
    values = msgspec.to_builtins(settings).items()
    lines = [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in values]
    file = tmp_path / "node.toml"
    head = '[node]\nname = "taman-bunga"\n[uplink]\nbrokers = ["mqtt://127.0.0.1:1"]\n[camera]\n'
    file.write_text(head + "\n".join(lines))
    stop = threading.Event()
    ledger = Ledger(stop)
    CameraSource(settings, camera_command(file), start_seconds=90).run(ledger, stop)
    assert len(set(ledger.stills)) > 1, "the picture does not change"
    assert ledger.measured[-1].running
    for still in ledger.stills:
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
