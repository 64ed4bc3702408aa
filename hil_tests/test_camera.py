"""Pictures arrive, fresh and masked, from the real picamera2."""

import pytest

from hil_tests.bench.run import Bench
from hil_tests.checks import check_masked, next_frame

pytestmark = [pytest.mark.smoke, pytest.mark.needs("camera", "ssh")]
_AGE_SECONDS_MAX = 10.0


def test_frames_arrive_and_are_fresh(node: Bench) -> None:
    first = next_frame(node)
    mark = node.traffic.count()
    second = next_frame(node, mark)
    assert first != second, "the picture stands still"
    measured = node.traffic.wait_for(
        "camera", since=mark, timeout_seconds=120, that=lambda heard: bool(heard.data()["running"])
    )
    assert measured.data()["frame_age_seconds"] < _AGE_SECONDS_MAX  # type: ignore[operator]


def test_no_masked_pixel_leaves_the_node(node: Bench) -> None:
    next_frame(node)
    frames = [heard.payload for heard in node.traffic.since() if heard.kind == "frame"]
    assert frames
    for frame in frames:
        check_masked(frame)
