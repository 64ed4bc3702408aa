"""Pictures arrive, fresh and masked."""

import numpy as np
import pytest
import simplejpeg

from hil_tests.bench.run import Bench

pytestmark = [pytest.mark.smoke, pytest.mark.needs("ssh")]
_AGE_SECONDS_MAX = 10.0
_BLACK_MAX = 24  # of 255: what JPEG leaves of black


def test_frames_arrive_and_are_fresh(node: Bench) -> None:
    mark = node.traffic.count()
    for _ in range(2):
        node.traffic.wait_for("frame", since=mark, timeout_seconds=120, that=lambda _: True)
        mark = node.traffic.count()
    measured = node.traffic.wait_for(
        "camera", since=mark, timeout_seconds=60, that=lambda heard: bool(heard.data()["running"])
    )
    assert measured.data()["frame_age_seconds"] < _AGE_SECONDS_MAX  # type: ignore[operator]


def test_no_masked_pixel_leaves_the_node(node: Bench) -> None:
    mark = node.traffic.count()
    node.traffic.wait_for("frame", since=mark, timeout_seconds=120, that=lambda _: True)
    frames = [heard.payload for heard in node.traffic.since() if heard.kind == "frame"]
    assert frames
    for frame in frames:
        picture = simplejpeg.decode_jpeg(frame)
        height, width = picture.shape[:2]
        # A block's width inside the mask: what lies beside it may bleed into the edge.
        masked = picture[: height // 2 - 16, : width // 2 - 16]
        assert int(np.max(masked)) <= _BLACK_MAX
        assert int(np.max(picture)) > _BLACK_MAX, "the whole picture is black"
