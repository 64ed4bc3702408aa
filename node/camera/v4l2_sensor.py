"""A USB camera as a sensor, through Linux' V4L2 and FFmpeg (PyAV)."""

import time
from collections.abc import Iterator

import av
from av.container import InputContainer

from node import settings
from node.camera.av_open import close_input, decode, open_input, packets
from node.camera.av_picture import to_picture
from node.camera.frame import Frame
from node.camera.pace import Pace, mono_of_stamp
from node.camera.v4l2_format import nearest_offer
from node.errors import CameraError


class V4l2Sensor:
    """Frames of a device such as /dev/video0: MJPEG where the camera offers it, else raw YUYV.

    The driver picks the size nearest to the settings'; the picture is scaled from there.
    """

    simulated = False

    def __init__(self, camera: settings.Camera) -> None:
        """Open the device. Raises CameraError when it is missing, busy or no camera."""
        self._camera = camera
        self._pace = Pace(camera.frames_per_second)
        self._frames_dropped_count = 0
        self._input: InputContainer | None = _open(camera)

    @property
    def frames_dropped_count(self) -> int:
        """Frames that the settings' rate leaves out; they are not even decoded."""
        return self._frames_dropped_count

    def frames(self) -> Iterator[Frame]:
        """Yield frames. Raises CameraError when the camera is unplugged or stops."""
        if self._input is None:
            raise CameraError(f"{self._camera.source} was closed")
        for packet in packets(self._input, self._camera.source):
            mono = mono_of_stamp(_stamp_seconds(packet), now=time.monotonic())
            if not self._pace.takes(mono):
                self._frames_dropped_count += 1
                continue
            for frame in decode(packet, self._camera.source):
                yield self._frame(frame, mono)
        raise CameraError(f"{self._camera.source} ended; was the camera unplugged?")

    def close(self) -> None:
        """Give back the device."""
        container, self._input = self._input, None
        close_input(container)

    def _frame(self, frame: av.VideoFrame, mono: float) -> Frame:
        return Frame(to_picture(frame, width=self._camera.width, height=self._camera.height), mono)


def _open(camera: settings.Camera) -> InputContainer:
    offer = nearest_offer(camera.source, width=camera.width, height=camera.height)
    size = {"video_size": f"{offer.width}x{offer.height}", "input_format": offer.name}
    return open_input(camera.source, format_name="v4l2", options=size)


def _stamp_seconds(packet: "av.Packet[av.VideoStream]") -> float | None:
    """Return the kernel's stamp of a packet: CLOCK_MONOTONIC for every UVC camera."""
    if packet.pts is None or packet.time_base is None:
        return None
    return float(packet.pts * packet.time_base)
