"""Real footage for libcamera's virtual camera: Debian's clip of pedestrians, as numbered JPEGs."""

import itertools
from contextlib import closing
from pathlib import Path

import simplejpeg

from node.camera.adapters import open_sensor
from node.settings import Camera

CLIP = Path("/usr/share/doc/opencv-doc/examples/data/vtest.avi")
"""Of Debian's package opencv-doc."""


def write_frames(folder: Path, *, width: int, height: int, count: int) -> None:
    """Write the first `count` pictures, at 20 a second, as the virtual camera reads them.

    Raises CameraError when the clip is not installed.
    """
    folder.mkdir(parents=True)
    camera = Camera(
        adapter="video", source=str(CLIP), width=width, height=height, frames_per_second=20
    )
    with closing(open_sensor(camera, "a")) as sensor:
        for number, frame in enumerate(itertools.islice(sensor.frames(), count)):
            planes = (frame.picture.y, frame.picture.u, frame.picture.v)
            (folder / f"{number:03}.jpg").write_bytes(
                simplejpeg.encode_jpeg_yuv_planes(*planes, quality=90)
            )
