"""A clip or an RTSP camera as a sensor, through FFmpeg (PyAV).

A file is replayed in real time by its own timestamps, in a loop; an RTSP stream is the street now.
"""

import time
from collections.abc import Iterator

import av

from node import settings
from node.camera.av_open import close_input, decoded_frames, failure, open_input
from node.camera.av_picture import to_picture
from node.camera.frame import Frame
from node.camera.pace import Pace, wait_until
from node.camera.source_name import is_stream, redacted
from node.errors import CameraError

_LATE_SECONDS = 1.0
_FALLBACK_FRAMES_PER_SECOND = 25


class VideoSensor:
    """Frames of `source`: a path, or an rtsp:// address that is read over TCP."""

    def __init__(self, camera: settings.Camera) -> None:
        """Open the source. Raises CameraError when it is missing, not a video or not reached."""
        self._camera = camera
        self._pace = Pace(camera.frames_per_second)
        self._frames_dropped_count = 0
        self._input: av.container.InputContainer | None = open_input(camera.source)

    @property
    def simulated(self) -> bool:
        """A file is not the street now; a stream is."""
        return not is_stream(self._camera.source)

    @property
    def frames_dropped_count(self) -> int:
        """Frames that the settings' rate leaves out."""
        return self._frames_dropped_count

    def frames(self) -> Iterator[Frame]:
        """Yield frames. Raises CameraError when the stream ends, stalls or cannot be decoded."""
        return self._replayed() if self.simulated else self._live()

    def close(self) -> None:
        """Close the source."""
        container, self._input = self._input, None
        close_input(container)

    def _live(self) -> Iterator[Frame]:
        for frame in decoded_frames(self._opened(), self._camera.source):
            now = time.monotonic()
            if self._pace.takes(now):
                yield self._frame(frame, now)
            else:
                self._frames_dropped_count += 1
        raise CameraError(f"{redacted(self._camera.source)} ended; the camera closed the stream")

    def _replayed(self) -> Iterator[Frame]:
        start = time.monotonic()
        loop_seconds = 0.0
        while True:
            last_seconds = -1.0
            for seconds, frame in self._timed():
                last_seconds = seconds
                position = loop_seconds + seconds
                if not self._pace.takes(position):
                    self._frames_dropped_count += 1
                    continue
                wait_until(start + position)
                now = time.monotonic()
                if now - start - position > _LATE_SECONDS:
                    start = now - position  # too slow for this clip: fall behind, do not race
                yield self._frame(frame, now)
            if last_seconds < 0:
                raise failure(self._camera.source, "it holds no picture that can be decoded")
            loop_seconds += last_seconds + self._frame_seconds()
            # Opened afresh: not every format can be wound back.
            self.close()
            self._input = open_input(self._camera.source)

    def _timed(self) -> Iterator[tuple[float, av.VideoFrame]]:
        """Yield frames of one run through the file with their time, which never goes back."""
        first: float | None = None
        seconds = 0.0
        for number, frame in enumerate(decoded_frames(self._opened(), self._camera.source)):
            stamp = number * self._frame_seconds() if frame.pts is None else frame.time
            first = stamp if first is None else first
            seconds = max(seconds, stamp - first)
            yield seconds, frame

    def _frame_seconds(self) -> float:
        rate = self._opened().streams.video[0].average_rate
        return float(1 / (rate or _FALLBACK_FRAMES_PER_SECOND))

    def _frame(self, frame: av.VideoFrame, mono: float) -> Frame:
        picture = to_picture(frame, width=self._camera.width, height=self._camera.height)
        return Frame(picture, mono)

    def _opened(self) -> av.container.InputContainer:
        if self._input is None:
            raise CameraError(f"{redacted(self._camera.source)} was closed")
        return self._input
