"""The line of the camera: each frame is masked, shown to the watchers, and now and then a still."""

from collections.abc import Callable, Sequence
from typing import BinaryIO

from node.camera.frame import Frame
from node.camera.mask import FrameMask
from node.camera.pace import Pace
from node.camera.pipe import Figures, Still, encode_record
from node.camera.requests import Requests
from node.camera.sensor import Sensor
from node.camera.still import PublicStill

Watcher = Callable[[Frame], None]
"""Looks at every masked frame: the place of motion, view guard and encoder."""

_FIGURES_PER_SECOND = 4.0


def deliver(  # noqa: PLR0913 - what the line of the camera is put together from
    sensor: Sensor,
    out: BinaryIO,
    *,
    frame_mask: FrameMask,
    make_still: Callable[[Frame], PublicStill],
    still_interval_seconds: float,
    requests: Requests,
    watchers: Sequence[Watcher] = (),
) -> None:
    """Write stills and figures to `out` until the requests say to close.

    A still is written with the first frame, then every `still_interval_seconds`, and with the next
    frame after a request. Figures follow each frame, but at most four times a second.
    Raises CameraError and MaskError; BrokenPipeError when nobody reads `out` any more.
    """
    still_pace = Pace(1 / still_interval_seconds)
    figures_pace = Pace(_FIGURES_PER_SECOND)
    for count, frame in enumerate(sensor.frames(), start=1):
        frame_mask.blacken(frame)
        for watch in watchers:
            watch(frame)
        wanted = requests.take_snapshot()
        if still_pace.takes(frame.mono) or wanted:
            _write_still(out, make_still(frame), simulated=sensor.simulated)
        if figures_pace.takes(frame.mono):
            figures = Figures(
                frames_count=count,
                frames_dropped_count=sensor.frames_dropped_count,
                newest_mono=frame.mono,
                width=frame.picture.width,
                height=frame.picture.height,
                simulated=sensor.simulated,
                masked_ratio=frame_mask.masked_ratio,
            )
            out.write(encode_record(figures))
        out.flush()
        if requests.closed:
            return


def _write_still(out: BinaryIO, still: PublicStill, *, simulated: bool) -> None:
    record = Still(
        jpeg=still.jpeg,
        width=still.width,
        height=still.height,
        mono=still.mono,
        simulated=simulated,
    )
    out.write(encode_record(record))
