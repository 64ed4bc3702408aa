"""Topics: built and taken apart; a topic that is not ours is told apart."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.messages import EVENTS, KINDS, NODE_NAME_PATTERN, TOPIC_ROOT, parse_topic, topic_of

_NODES = st.from_regex(r"[a-z0-9]{1,8}(-[a-z0-9]{1,8}){0,2}", fullmatch=True)


@given(_NODES, st.sampled_from([*KINDS, "frame", "cmd"]))
def test_a_topic_comes_apart_as_it_was_built(node: str, kind: str) -> None:
    topic = topic_of(node, kind)
    assert topic.startswith(f"{TOPIC_ROOT}/")
    assert parse_topic(topic) == (node, kind)


def test_every_event_has_its_kind() -> None:
    assert {kind for kind in KINDS if "/" in kind} == {f"event/{name}" for name in EVENTS}


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "simpul/1/a",
        "simpul/1//state",
        "simpul/2/a/state",
        "other/simpul/1/a/state",
        "simpul/1/a/state/",
        "simpul/1/a/event/x/y",
        "simpul/1/a/event/X",
        "simpul/1/+/state",
        "simpul/1/#",
        "simpul/1/a-/state",
        "simpul/1/-a/state",
        "simpul/1/A/state",
        "simpul/1/a/state\n",
        "simpul/1/a\n/state",
        "$SYS/broker/uptime",
    ],
)
def test_a_foreign_topic_is_none_of_ours(topic: str) -> None:
    assert parse_topic(topic) is None


@given(st.text() | st.text(alphabet="simpul/1ab-+#\0\n", max_size=30).map(f"{TOPIC_ROOT}/".__add__))
def test_any_text_is_taken_apart_or_refused(topic: str) -> None:
    found = parse_topic(topic)
    if found is None:
        return
    node, kind = found
    assert re.fullmatch(NODE_NAME_PATTERN, node)
    assert topic_of(node, kind) == topic
    assert not set("+#\0\n") & set(topic)
