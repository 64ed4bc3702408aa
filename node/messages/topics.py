"""Where a message goes: the MQTT topics, MQTT 3.1.1 section 4.7."""

import re

TOPIC_ROOT = "simpul/1"
"""Product and contract version; a breaking change gets a new number."""

NODE_NAME_PATTERN = "^[a-z0-9]+(-[a-z0-9]+)*$"
"""A host name label (RFC 1123) in lower case; safe as an MQTT level and as a NATS token."""

_TOPIC = re.compile(
    rf"{TOPIC_ROOT}/(?P<node>[a-z0-9]+(?:-[a-z0-9]+)*)/(?P<kind>[a-z]+(?:/[a-z][a-z0-9-]*)?)"
)


def topic_of(node: str, kind: str) -> str:
    """Return the topic for `kind` ("health", "event/motion", "cmd" ...) of `node`.

    `node` may be "+" to subscribe to every node.
    """
    return f"{TOPIC_ROOT}/{node}/{kind}"


def parse_topic(topic: str) -> tuple[str, str] | None:
    """Return (node, kind) of a topic, or None when it is not one of ours."""
    match = _TOPIC.fullmatch(topic)
    return (match["node"], match["kind"]) if match else None
