"""The camera process as the agent meets it: exit codes, one line of reason, clean output."""

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from node.camera.delivery import deliver
from node.camera.fake_sensor import FakeSensor, endless_noise
from node.camera.frame import Frame, Picture
from node.camera.mask import FrameMask
from node.camera.mask_file import parse_mask
from node.camera.pipe import Figures, RecordReader, Still
from node.camera.process import EXIT_CAMERA, EXIT_SETTINGS
from node.camera.requests import Requests
from node.camera.still import still_maker
from node.errors import CameraError
from node.settings import Camera

MASK = '[[region]]\nname = "a"\npolygon = [[0, 0], [0.4, 0], [0.4, 0.4], [0, 0.4]]\n'
START = "from node.camera.process import run_camera_process as run; from pathlib import Path;"
WIDTH, HEIGHT = 160, 96


def write_settings(directory: Path, camera: str, mask: str = MASK) -> Path:
    (directory / "mask.toml").write_text(mask)
    file = directory / "node.toml"
    file.write_text(
        '[node]\nname = "taman-bunga"\n[uplink]\nbrokers = ["mqtt://127.0.0.1:1"]\n'
        f'[camera]\nwidth = {WIDTH}\nheight = {HEIGHT}\nmask_file = "{directory}/mask.toml"\n'
        f"{camera}\n"
    )
    return file


def run(file: Path, *, before: str = "") -> subprocess.CompletedProcess[bytes]:
    """Run the process with its input closed already, so that one frame is all it delivers."""
    program = f"{START} {before} raise SystemExit(run(Path({str(file)!r})))"
    return subprocess.run(
        [sys.executable, "-c", program], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )


@pytest.mark.parametrize(
    ("camera", "mask", "code", "words"),
    [
        ('adapter = "rendered"', "", EXIT_SETTINGS, "nothing_to_mask"),
        ('adapter = "rendered"', MASK.replace("0.4", "1"), EXIT_SETTINGS, "whole picture"),
        ('adapter = "webcam"', MASK, EXIT_SETTINGS, "adapter"),
        ('adapter = "none"', MASK, EXIT_SETTINGS, "no camera"),
        ('adapter = "video"\nsource = "/nonexistent"', MASK, EXIT_CAMERA, "No such file"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    tmp_path: Path, camera: str, mask: str, code: int, words: str
) -> None:
    ended = run(write_settings(tmp_path, camera, mask))
    said = ended.stderr.decode()
    assert ended.returncode == code
    assert words in said
    assert said.count("\n") == 1
    assert ended.stdout == b"", "no mask, no picture"


def test_what_a_driver_prints_never_reaches_the_records(tmp_path: Path) -> None:
    chatty = (
        "import os, node.camera.process as p; opened = p.open_sensor;"
        "p.open_sensor = lambda *a: (os.write(1, b'driver says hello\\n'), opened(*a))[1];"
    )
    ended = run(write_settings(tmp_path, 'adapter = "rendered"'), before=chatty)
    assert ended.returncode == 0
    assert b"driver says hello" in ended.stderr
    records = list(RecordReader().feed(ended.stdout))
    assert [type(record) for record in records] == [Still, Figures]


def two_streams() -> Iterator[Frame]:
    """Yield bright frames with a small picture beside each, as the Raspberry Pi gives them."""
    large = endless_noise(width=WIDTH, height=HEIGHT, low=50)
    small = endless_noise(width=80, height=48, low=50)
    for number in range(6):
        yield Frame(next(large), float(number), next(small))


def test_watchers_see_masked_pictures_only() -> None:
    mask = parse_mask(MASK)
    camera = Camera(width=WIDTH, height=HEIGHT, still_width=80)
    seen: list[Frame] = []
    requests = Requests()
    out = io.BytesIO()

    def watch(frame: Frame) -> None:
        seen.append(frame)
        if len(seen) == 3:
            requests.take(b"s")

    with pytest.raises(CameraError, match="no more frames"):
        deliver(
            FakeSensor(two_streams()),
            out,
            frame_mask=FrameMask(mask, width=WIDTH, height=HEIGHT),
            make_still=still_maker(camera, mask),
            still_interval_seconds=3600,
            requests=requests,
            watchers=[watch],
        )
    assert len(seen) == 6
    for frame in seen:
        assert_masked(frame.picture)
        assert frame.lores is not None
        assert_masked(frame.lores)
    stills = [r for r in RecordReader().feed(out.getvalue()) if isinstance(r, Still)]
    assert [still.mono for still in stills] == [0.0, 2.0], "the first frame, and the one asked for"
    for still in stills:
        assert not simplejpeg.decode_jpeg(still.jpeg)[:19, :32].any()


def assert_masked(picture: Picture) -> None:
    rows, columns = int(picture.height * 0.4), int(picture.width * 0.4)
    assert not picture.y[:rows, :columns].any()
    for plane in (picture.u, picture.v):
        assert (plane[: rows // 2, : columns // 2] == 128).all()
    assert np.median(picture.y[rows + 24 :]) > 50
