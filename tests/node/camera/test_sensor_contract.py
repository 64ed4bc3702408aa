"""What every sensor promises, kept by the real ones and by the fake."""

import importlib.util
import itertools
import sys
import time
import types
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import av
import numpy as np
import pytest

from node.camera.adapters import open_sensor
from node.camera.fake_sensor import Fail, FakeSensor, Hang, endless_noise
from node.camera.frame import Frame
from node.camera.picamera2_sensor import unpack
from node.camera.sensor import Sensor
from node.errors import CameraError, SettingsError
from node.settings import Camera

WIDTH, HEIGHT = 320, 192
FRAMES_PER_SECOND = 20.0
SURVEILLANCE_CLIP = Path("/usr/share/doc/opencv-doc/examples/data/vtest.avi")
Open = Callable[[], Sensor]


def camera(adapter: str, source: str = "") -> Camera:
    return Camera(
        adapter=adapter,  # type: ignore[arg-type]
        source=source,
        width=WIDTH,
        height=HEIGHT,
        frames_per_second=FRAMES_PER_SECOND,
        stall_seconds=2,
    )


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clip of one second in which the light grows from frame to frame."""
    file = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with av.open(str(file), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for number in range(25):
            pixels = np.full((360, 640, 3), 40 + number * 6, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return file


class FakePicamera2(types.ModuleType):
    """A stand-in for picamera2 as its manual describes it, with rows padded to 64 bytes."""

    stride_bytes = 384

    class Picamera2:  # noqa: D106 - named as the vendor names it
        def create_video_configuration(self, **parts: object) -> dict[str, object]:
            assert parts["queue"] is False
            return parts

        def configure(self, configuration: dict[str, dict[str, object]]) -> None:
            self._streams = {name: dict(configuration[name]) for name in ("main", "lores")}
            for stream in self._streams.values():
                stream["stride"] = FakePicamera2.stride_bytes

        def camera_configuration(self) -> dict[str, dict[str, object]]:
            return self._streams

        def start(self) -> None:
            self._next = time.monotonic()

        def capture_request(self, wait: float) -> "FakePicamera2.Picamera2":
            assert wait > 0
            time.sleep(max(0.0, self._next - time.monotonic()))
            self._next = time.monotonic() + 1 / FRAMES_PER_SECOND
            return self

        def make_buffer(self, name: str) -> np.ndarray:
            height = self._streams[name]["size"][1]  # type: ignore[index]
            return np.full(FakePicamera2.stride_bytes * height * 3 // 2, 77, dtype=np.uint8)

        def get_metadata(self) -> dict[str, int]:
            return {"SensorTimestamp": time.clock_gettime_ns(time.CLOCK_BOOTTIME)}

        def release(self) -> None:
            pass

        def close(self) -> None:
            pass


@pytest.fixture
def picamera2(monkeypatch: pytest.MonkeyPatch) -> None:
    libcamera = types.ModuleType("libcamera")
    libcamera.ColorSpace = types.SimpleNamespace(Sycc=lambda: "sYCC")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "libcamera", libcamera)
    monkeypatch.setitem(sys.modules, "picamera2", FakePicamera2("picamera2"))


@pytest.fixture(
    params=["fake", "rendered", "video", "surveillance", "picamera2", "libcamera", "v4l2"]
)
def opened(request: pytest.FixtureRequest) -> Open:  # noqa: PLR0911 - one for each camera
    """Return a function that opens the sensor."""
    match request.param:
        case "fake":
            noise = endless_noise(width=WIDTH, height=HEIGHT)
            return lambda: FakeSensor(noise, frames_per_second=FRAMES_PER_SECOND)
        case "rendered":
            return lambda: open_sensor(camera("rendered"), "taman-bunga")
        case "video":
            clip = request.getfixturevalue("clip")
            return lambda: open_sensor(camera("video", str(clip)), "taman-bunga")
        case "surveillance":
            if not SURVEILLANCE_CLIP.exists():
                pytest.skip("Debian's opencv-doc is not installed")
            return lambda: open_sensor(camera("video", str(SURVEILLANCE_CLIP)), "taman-bunga")
        case "picamera2":
            request.getfixturevalue("picamera2")
            return lambda: open_sensor(camera("picamera2"), "taman-bunga")
        case "libcamera":
            if not all(importlib.util.find_spec(name) for name in ("libcamera", "picamera2")):
                pytest.skip("this machine has no picamera2; a guest has")
            return lambda: open_sensor(camera("picamera2"), "taman-bunga")
        case _:
            if not Path("/dev/video0").exists():
                pytest.skip("this machine has no USB camera")
            return lambda: open_sensor(camera("v4l2", "/dev/video0"), "taman-bunga")


@pytest.fixture
def frames(opened: Open) -> Iterator[list[Frame]]:
    with closing(opened()) as sensor:
        yield list(itertools.islice(sensor.frames(), 12))


def test_frames_have_the_size_asked_for(frames: list[Frame]) -> None:
    assert {(f.picture.width, f.picture.height) for f in frames} == {(WIDTH, HEIGHT)}


def test_frames_carry_the_time_of_their_capture(frames: list[Frame]) -> None:
    stamps = [frame.mono for frame in frames]
    assert all(one < two for one, two in itertools.pairwise(stamps))
    assert 0 <= time.monotonic() - stamps[-1] < 5


def test_no_frame_comes_before_it_is_due(opened: Open) -> None:
    # From the call on: a late first frame may be caught up with.
    with closing(opened()) as sensor:
        start_mono = time.monotonic()
        frames = list(itertools.islice(sensor.frames(), 12))
    assert frames[-1].mono - start_mono >= 0.8 * (len(frames) - 1) / FRAMES_PER_SECOND


def test_each_frame_is_a_picture_of_its_own(frames: list[Frame]) -> None:
    frames[0].picture.y[:] = 0
    assert frames[1].picture.y.any()
    assert not np.shares_memory(frames[0].picture.planes, frames[1].picture.planes)


def test_closing_twice_is_harmless(opened: Open) -> None:
    sensor = opened()
    sensor.close()
    sensor.close()


def test_a_clip_is_replayed_in_a_loop(clip: Path) -> None:
    settings = Camera(
        adapter="video", source=str(clip), width=320, height=192, frames_per_second=10
    )
    with closing(open_sensor(settings, "a")) as sensor:
        assert sensor.simulated
        light = [float(f.picture.y.mean()) for f in itertools.islice(sensor.frames(), 14)]
        assert sensor.frames_dropped_count > 5
    assert light[4] > light[0]
    assert any(later < earlier - 50 for earlier, later in itertools.pairwise(light)), "no loop"


def test_pictures_are_in_full_range(clip: Path) -> None:
    with closing(open_sensor(camera("video", str(clip)), "a")) as sensor:
        frame = next(sensor.frames())
    # 40 in RGB is 40 in full range and 50 in the limited range of video.
    assert abs(float(frame.picture.y.mean()) - 40) < 4


@pytest.mark.parametrize("layout", ["YUV420", "NV12"])
def test_padding_is_left_out(layout: str) -> None:
    width, height, stride = 6, 4, 8
    luma = np.arange(height * stride, dtype=np.uint8).reshape(height, stride)
    chroma = np.arange(100, 100 + height * stride // 2, dtype=np.uint8)
    picture = unpack(np.concatenate([luma.ravel(), chroma]), width, height, stride, layout)
    assert (picture.y == luma[:, :width]).all()
    if layout == "NV12":
        assert picture.u.tolist() == [[100, 102, 104], [108, 110, 112]]
        assert picture.v.tolist() == [[101, 103, 105], [109, 111, 113]]
    else:
        assert picture.u.tolist() == [[100, 101, 102], [104, 105, 106]]
        assert picture.v.tolist() == [[108, 109, 110], [112, 113, 114]]


@pytest.mark.parametrize(
    ("adapter", "content", "words"),
    [
        ("video", None, "No such file"),
        ("video", b"this is no video", "check camera.source"),
        ("v4l2", None, "No such file"),
    ],
)
def test_what_cannot_be_opened_is_explained(
    tmp_path: Path, adapter: str, content: bytes | None, words: str
) -> None:
    source = tmp_path / "source"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(CameraError, match=words):
        open_sensor(camera(adapter, str(source)), "a")


def test_an_unreachable_stream_is_explained_without_its_password() -> None:
    with pytest.raises(CameraError) as caught:
        open_sensor(camera("video", "rtsp://admin:hunter2@127.0.0.1:1/street"), "a")
    assert "hunter2" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


def test_no_camera_is_no_silent_fake() -> None:
    with pytest.raises(SettingsError):
        open_sensor(camera("none"), "a")


def test_a_missing_picamera2_says_what_to_install() -> None:
    with pytest.raises(CameraError, match="python3-picamera2"):
        open_sensor(camera("picamera2"), "a")


def test_the_fake_fails_and_hangs_when_told() -> None:
    picture = next(endless_noise(width=64, height=64))
    sensor = FakeSensor([picture, Fail("cable")])
    frames = sensor.frames()
    next(frames)
    with pytest.raises(CameraError, match="cable"):
        next(frames)
    stuck = FakeSensor([Hang()])
    stuck.close()
    with pytest.raises(CameraError, match="closed"):
        next(stuck.frames())
