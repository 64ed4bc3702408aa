"""A network camera over RTSP, against GStreamer's server: it streams, stalls, dies and refuses."""

import itertools
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest
import simplejpeg
from services.camera_process import masked_source
from services.ports import free_port
from services.rtsp_server import RtspServer, why_no_rtsp_server
from services.waiting import until

from node.camera.adapters import open_sensor
from node.camera.source import CameraSource
from node.clock import SystemClock
from node.errors import CameraError
from node.messages import Camera as Measured
from node.messages import SourceFailed
from node.settings import Camera
from node.supervisor import Part

SECRET = "hunter2"  # noqa: S105 - the test looks for it
WIDTH, HEIGHT = 320, 192
STALL_SECONDS = 2.0

pytestmark = pytest.mark.skipif(bool(why_no_rtsp_server()), reason=why_no_rtsp_server())


@pytest.fixture
def server() -> Iterator[RtspServer]:
    with RtspServer() as started:
        yield started


@pytest.fixture
def protected() -> Iterator[RtspServer]:
    with RtspServer(user="admin", password=SECRET) as started:
        yield started


def camera(url: str) -> Camera:
    return Camera(
        adapter="video",
        source=url,
        width=WIDTH,
        height=HEIGHT,
        frames_per_second=10,
        still_interval_seconds=0.2,
        stall_seconds=STALL_SECONDS,
        measure_interval_seconds=0.2,
    )


class Ledger:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.measured: list[Measured] = []
        self.failures: list[str] = []
        self.stills: list[bytes] = []

    def measure(self, kind: str, data: msgspec.Struct) -> None:
        assert kind == "camera"
        assert isinstance(data, Measured)
        self.measured.append(data)

    def event(self, name: str, data: msgspec.Struct) -> None:
        del name
        if isinstance(data, SourceFailed):
            self.failures.append(data.reason)

    def frame(self, jpeg: bytes, *, width: int, height: int, mono: float, simulated: bool) -> None:
        assert (width, height) == (WIDTH, HEIGHT)
        assert time.monotonic() - mono <= STALL_SECONDS
        assert not simulated
        self.stills.append(jpeg)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def run_once(source: CameraSource, ledger: Ledger) -> str:
    """Run the source until it fails and return its words."""
    with pytest.raises(CameraError) as caught:
        source.run(ledger, threading.Event())
    return str(caught.value)


def test_frames_are_the_street_now(server: RtspServer) -> None:
    with closing(open_sensor(camera(server.url()), "a")) as sensor:
        assert not sensor.simulated
        frames = list(itertools.islice(sensor.frames(), 15))
        assert time.monotonic() - frames[-1].mono < 1
    assert {(frame.picture.width, frame.picture.height) for frame in frames} == {(WIDTH, HEIGHT)}
    brightest = [int(np.argmax(frame.picture.y)) for frame in frames]
    assert len(set(brightest)) > 5, "the ball does not move"


def test_the_right_password_opens(protected: RtspServer) -> None:
    url = protected.url(login=f"admin:{SECRET}")
    with closing(open_sensor(camera(url), "a")) as sensor:
        assert next(sensor.frames()).picture.width == WIDTH


@pytest.mark.parametrize(
    ("path", "login", "words"),
    [
        ("street", "admin:wrong-hunter2", "401"),
        ("street", "", "401"),
        ("no-such-path", f"admin:{SECRET}", "404"),
    ],
)
def test_a_refusal_is_explained_without_the_password(  # noqa: PLR0913, PLR0917 - its fixtures
    protected: RtspServer,
    tmp_path: Path,
    ledger: Ledger,
    caplog: pytest.LogCaptureFixture,
    path: str,
    login: str,
    words: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    said = run_once(masked_source(camera(protected.url(path, login=login)), tmp_path), ledger)
    assert words in said
    assert f"rtsp://127.0.0.1:{protected.port}/{path}: " in said
    assert SECRET not in said + caplog.text


def test_nobody_listening_is_explained_without_the_password(
    tmp_path: Path, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = f"rtsp://admin:{SECRET}@127.0.0.1:{free_port()}/street"
    said = run_once(masked_source(camera(url), tmp_path), ledger)
    assert "Connection refused" in said
    assert SECRET not in said + caplog.text


def test_it_stalls_dies_and_comes_back(
    protected: RtspServer, tmp_path: Path, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    source = masked_source(camera(protected.url(login=f"admin:{SECRET}")), tmp_path)
    part = Part("camera", lambda stop: source.run(ledger, stop), sink=ledger, clock=SystemClock())
    part.start()
    try:
        _expect_stills(ledger)
        protected.stall()
        until(lambda: len(ledger.failures) == 1, "the failure of the stalled camera")
        assert "no new frame" in ledger.failures[0]
        assert ledger.measured[-1].running is False
        protected.kill()
        until(lambda: "Connection refused" in ledger.failures[-1], "the refusal", seconds=60)
        protected.start()
        _expect_stills(ledger)
        known = len(ledger.failures)
        protected.kill()
        until(lambda: len(ledger.failures) > known, "the failure of the killed camera")
    finally:
        part.stop()
        assert part.join(10)
    assert SECRET not in caplog.text + "".join(ledger.failures)


def _expect_stills(ledger: Ledger) -> None:
    known = len(ledger.stills)
    until(lambda: len(ledger.stills) >= known + 5, "stills", seconds=90)
    newest = ledger.stills[known:]
    assert len(set(newest)) > 1, "the picture does not change"
    picture = simplejpeg.decode_jpeg(newest[-1])
    assert not picture[: HEIGHT // 5, : WIDTH // 5].any(), "the mask is not drawn"
