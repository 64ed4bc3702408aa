"""The Raspberry Pi camera as a sensor, through picamera2 (its manual, chapters 4 to 6).

Two streams of the ISP are read: `main` for pictures, `lores` for looking at motion. picamera2 can
hang in stop() and leak memory when it is opened again: this process opens it once and is thrown
away as a whole.
"""

import time
from collections.abc import Iterator
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from node import settings
from node.camera.frame import Frame, Picture, Plane, blank_picture
from node.camera.pace import Pace, mono_of_stamp
from node.errors import CameraError

_LORES_WIDTH = 320
_BUFFER_COUNT = 4  # enough for one frame in our hands; each costs CMA memory on a small board
_NANOSECONDS = 1_000_000_000
_MICROSECONDS = 1_000_000
_I420, _NV12 = "YUV420", "NV12"


class Picamera2Sensor:
    """Frames of the first camera on the ribbon cable."""

    simulated = False

    def __init__(self, camera: settings.Camera) -> None:
        """Open and start the camera. Raises CameraError when it is missing, busy or refuses."""
        self.frames_dropped_count = 0
        # A sensor mode may have no frame as long as was asked for, and libcamera then sends more.
        self._pace = Pace(camera.frames_per_second)
        self._timeout_seconds = max(camera.stall_seconds, 3 / camera.frames_per_second)
        try:
            from libcamera import ColorSpace  # noqa: PLC0415 - the vendor's package, when chosen
            from picamera2 import Picamera2  # noqa: PLC0415 - as above
        except ImportError as error:
            raise CameraError(
                f"picamera2 cannot be imported ({error}); install python3-picamera2 with apt and "
                "let the virtual environment see system packages"
            ) from error
        try:
            self._camera: Any = Picamera2()
        except (RuntimeError, IndexError, OSError) as error:
            raise CameraError(
                f"the camera cannot be opened ({error}); check the ribbon cable, "
                "`rpicam-hello --list-cameras`, and that no other program holds it"
            ) from error
        try:
            self._start(camera, ColorSpace.Sycc())
        except (RuntimeError, OSError, ValueError) as error:
            self.close()
            raise CameraError(
                f"the camera refuses {camera.width}x{camera.height} at "
                f"{camera.frames_per_second:g} frames/s: {error}"
            ) from error

    def frames(self) -> Iterator[Frame]:
        """Yield frames. Raises CameraError when none comes in time or picamera2 fails."""
        while True:
            try:
                request = self._camera.capture_request(wait=self._timeout_seconds)
            except (FutureTimeoutError, TimeoutError) as error:
                raise CameraError(
                    f"the camera gave no frame for {self._timeout_seconds:g} s; check its cable"
                ) from error
            except (RuntimeError, OSError) as error:
                raise CameraError(f"the camera failed: {error}") from error
            try:
                frame = self._frame(request)
            finally:
                request.release()  # the camera has only a few buffers
            if frame is None:
                self.frames_dropped_count += 1
            else:
                yield frame

    def close(self) -> None:
        """Stop and give back the camera; may hang, see the module."""
        try:
            self._camera.close()
        except (RuntimeError, OSError) as error:
            raise CameraError(f"the camera cannot be closed: {error}") from error

    def _start(self, camera: settings.Camera, full_range: Any) -> None:  # noqa: ANN401 - untyped vendor
        lores_width = min(_LORES_WIDTH, camera.width)
        lores_height = round(camera.height * lores_width / camera.width / 2) * 2
        frame_microseconds = round(_MICROSECONDS / camera.frames_per_second)
        configuration = self._camera.create_video_configuration(
            main={"size": (camera.width, camera.height), "format": _I420},
            lores={"size": (lores_width, lores_height), "format": _I420},
            colour_space=full_range,
            buffer_count=_BUFFER_COUNT,
            queue=False,  # a queued frame is an old frame
            controls={"FrameDurationLimits": (frame_microseconds, frame_microseconds)},
        )
        self._camera.configure(configuration)
        self._layouts = {name: self._layout(name) for name in ("main", "lores")}
        if self._layouts["main"][:2] != (camera.width, camera.height):
            got = "x".join(str(side) for side in self._layouts["main"][:2])
            raise RuntimeError(f"it offers {got} instead; set camera.width and camera.height so")
        self._camera.start()

    def _layout(self, name: str) -> tuple[int, int, int, str]:
        """Return width, height, stride in bytes and format that libcamera settled for."""
        stream = self._camera.camera_configuration()[name]
        width, height = stream["size"]
        return width, height, stream["stride"], str(stream["format"])

    def _frame(self, request: Any) -> Frame | None:  # noqa: ANN401 - untyped vendor
        """Return the frame of a request; None, unread, when it comes before it is due."""
        stamp = request.get_metadata().get("SensorTimestamp")
        mono = mono_of_stamp(_mono_of_boottime(stamp), now=time.monotonic())
        if not self._pace.takes(mono):
            return None
        pictures = {
            name: unpack(request.make_buffer(name), *layout)
            for name, layout in self._layouts.items()
        }
        return Frame(pictures["main"], mono, pictures["lores"])


def unpack(buffer: Plane, width: int, height: int, stride: int, layout: str) -> Picture:
    """Return the picture in a buffer whose rows are padded to `stride` bytes.

    YUV420 has its chroma rows padded to half of the stride; NV12, which libcamera's virtual camera
    gives, has them interleaved. Raises CameraError when the buffer cannot hold such a picture.
    """
    needed = stride * height * 3 // 2
    if buffer.size < needed or stride < width or layout not in {_I420, _NV12}:
        raise CameraError(
            f"a buffer of {buffer.size} bytes in {layout} with stride {stride} is no picture of "
            f"{width}x{height}"
        )
    picture = blank_picture(width, height)
    luma = stride * height
    picture.y[:] = buffer[:luma].reshape(height, stride)[:, :width]
    chroma = buffer[luma:needed]
    if layout == _NV12:
        pairs = chroma.reshape(height // 2, stride)[:, :width]
        picture.u[:], picture.v[:] = pairs[:, 0::2], pairs[:, 1::2]
        return picture
    planes = chroma.reshape(2, height // 2, stride // 2)[:, :, : width // 2]
    picture.u[:], picture.v[:] = planes
    return picture


def _mono_of_boottime(stamp_nanoseconds: int | None) -> float | None:
    """Return CLOCK_MONOTONIC of libcamera's SensorTimestamp, which counts on CLOCK_BOOTTIME."""
    if stamp_nanoseconds is None:
        return None
    asleep = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
    return stamp_nanoseconds / _NANOSECONDS - max(0.0, asleep)
