"""What tests check of a node, and what the mutations of it must make fail."""

import numpy as np
import simplejpeg

from hil_tests.bench.protocols import PhonesProtocol
from hil_tests.bench.run import SSID, Bench

_BLACK_MAX = 24  # of 255: what JPEG leaves of black


def next_frame(node: Bench, mark: int | None = None) -> bytes:
    """Return the first picture heard from `mark` on, or from now on. Raises TimeoutError."""
    since = node.traffic.count() if mark is None else mark
    return node.traffic.wait_for(
        "frame", since=since, timeout_seconds=120, that=lambda _: True
    ).payload


def check_masked(frame: bytes) -> None:
    """Hold that the picture is black where the bench's mask is, and nowhere else altogether."""
    picture = simplejpeg.decode_jpeg(frame)
    height, width = picture.shape[:2]
    # A block's width inside the mask: what lies beside it may bleed into the edge.
    masked = picture[: height // 2 - 16, : width // 2 - 16]
    assert int(np.max(masked)) <= _BLACK_MAX, "a masked pixel left the node"
    assert int(np.max(picture)) > _BLACK_MAX, "the whole picture is black"


def join_all(phones: PhonesProtocol) -> dict[str, str]:
    """Have every phone join and serve a page; return their addresses. Raises TimeoutError."""
    addresses = {name: phones.join(name, SSID) for name in phones.names()}
    for name in addresses:
        phones.serve(name, f"this is {name}")
    return addresses


def check_isolated(phones: PhonesProtocol, addresses: dict[str, str]) -> None:
    """Hold that no phone reaches another one's page, though each of them serves it."""
    one, two, *_ = addresses
    assert phones.fetch(one, f"http://{addresses[two]}/") is None, "a guest reached another one"
