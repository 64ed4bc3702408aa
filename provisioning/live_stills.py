"""Hears the stills that nodes take from now on, never one that the broker kept."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from node.messages import MessageError, parse_topic, read_still_info, topic_of
from provisioning.listen import BrokerAccess, line_to

_READY_SECONDS = 30.0  # what the broker kept comes first, over a link that may be slow


@contextmanager
def live_stills(
    access: BrokerAccess, nodes: Sequence[str], hear: Callable[[str, bytes], None]
) -> Iterator[None]:
    """Hand each still (JPEG) that one of `nodes` sends to `hear(node, still)`, in another thread.

    What the broker kept comes with the retain flag (MQTT 3.1.1, 3.3.1.3), however late it comes; no
    clock tells it as surely. Other nodes' stills stay at the broker: the link may be slow. Raises
    FleetError when the broker cannot be reached or refuses.
    """

    def heard(topic: str, payload: bytes, arrived_at: datetime | None) -> None:
        parsed = parse_topic(topic)
        if parsed is None or arrived_at is None:
            return
        try:
            taken_by = read_still_info(payload).node
        except MessageError:
            return  # nobody's picture
        if taken_by == parsed[0]:
            hear(taken_by, payload)

    topics = tuple(topic_of(node, "frame") for node in nodes)
    with line_to(access, (), heard, topics=topics, ready_seconds=_READY_SECONDS):
        yield
