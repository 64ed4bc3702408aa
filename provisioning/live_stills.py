"""Tells a still that a node takes now from one that the broker kept."""

from datetime import datetime

from node.messages import MessageError, parse_topic, read_still_info


def live_still_of(topic: str, payload: bytes, arrived_at: datetime | None) -> str:
    """Return the node whose new still (JPEG) a message is; empty for any other message.

    What the broker kept comes with the retain flag (MQTT 3.1.1, 3.3.1.3), and so without a time of
    arrival, however late it comes; no clock tells it as surely.
    """
    parsed = parse_topic(topic)
    if parsed is None or parsed[1] != "frame" or arrived_at is None:
        return ""
    try:
        taken_by = read_still_info(payload).node
    except MessageError:
        return ""  # nobody's picture
    return taken_by if taken_by == parsed[0] else ""
