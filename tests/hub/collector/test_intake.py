"""What counts as a message, and that garbage raises MessageError and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.talker import TINY_JPEG, Talker

from hub.collector.intake import (
    Answer,
    Cleared,
    Ignored,
    Measurement,
    StateChange,
    Still,
    read_message,
)
from node.messages import (
    PAYLOAD_BYTES_MAX,
    MessageError,
    Reply,
    State,
    Wifi,
    encode,
    topic_of,
    write_still_info,
)
from node.messages.camera import StillInfo

TALKER = Talker("mqtt://127.0.0.1:1", "pasar-horas")
WIFI = Wifi(interface="wlan0", up=True)


def read(kind: str, payload: bytes) -> object:
    return read_message(topic_of("pasar-horas", kind), payload)


def test_each_kind_is_told_apart() -> None:
    state = TALKER.envelope("state", State(online=True), 0)
    reply = TALKER.envelope("reply", Reply(id="1", ok=True), 0)
    wifi = TALKER.envelope("wifi", WIFI, 4)
    unheard_of = TALKER.envelope("event/something-new", {"x": 1}, 5)
    assert isinstance(read("state", encode(state)), StateChange)
    assert isinstance(read("reply", encode(reply)), Answer)
    assert read("wifi", encode(wifi)) == Measurement(wifi)
    assert isinstance(read("event/something-new", encode(unheard_of)), Measurement)
    assert isinstance(read("frame", a_still("pasar-horas")), Still)
    assert read("frame", b"") == Cleared("pasar-horas", "frame")
    assert read("cmd", b"{}") == Ignored()


def a_still(node: str) -> bytes:
    envelope = TALKER.envelope("wifi", WIFI, 1)
    info = StillInfo(
        node=node, boot=envelope.boot, at=envelope.at, mono=1.0, clock_synced=True,
        width=640, height=360,
    )  # fmt: skip
    return write_still_info(TINY_JPEG, info)


BAD = {
    "another node": ("wifi", encode(TALKER.envelope("wifi", WIFI, 1, node="adam-malik"))),
    "another kind": ("health", encode(TALKER.envelope("wifi", WIFI, 1))),
    "measurement without number": ("wifi", encode(TALKER.envelope("wifi", WIFI, 0))),
    "numbered state": ("state", encode(TALKER.envelope("state", State(online=True), 3))),
    "beyond the calendar": (
        "wifi",
        encode(TALKER.envelope("wifi", WIFI, 1)).replace(
            b'"at":"2', b'"at":"0001-01-01T00:00:00+09:00","x":"2'
        ),
    ),
    "line end in the boot": (
        "wifi",
        encode(TALKER.envelope("wifi", WIFI, 1)).replace(
            f'"{TALKER.boot}"'.encode(), f'"{TALKER.boot}\\n"'.encode()
        ),
    ),
    "line end in a ledger's boot": (
        "state",
        encode(
            TALKER.envelope(
                "state",
                {"online": True, "ledgers": [{"boot": f"{TALKER.boot}\n", "last_seq": 1}]},
                0,
            )
        ),
    ),
    "zero in a reply's boot": (
        "reply",
        encode(TALKER.envelope("reply", {"id": "1", "ok": True, "boot": "a\0b"}, 0)),
    ),
    "line end in a reply's boot": (
        "reply",
        encode(TALKER.envelope("reply", {"id": "1", "ok": True, "boot": f"{TALKER.boot}\n"}, 0)),
    ),
    "oversized": ("wifi", b" " * (PAYLOAD_BYTES_MAX + 1)),
    "state that is none": ("state", encode(TALKER.envelope("state", {"x": 1}, 0))),
    "still of another": ("frame", a_still("adam-malik")),
    "still that is none": ("frame", b"GIF89a"),
    "no json": ("wifi", b"\xff\xfe{"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_messages_are_refused(what: str) -> None:
    with pytest.raises(MessageError):
        read(*BAD[what])


@given(st.text(), st.binary())
def test_garbage_on_any_topic(topic: str, payload: bytes) -> None:
    with pytest.raises(MessageError):
        read_message(topic, payload)


@given(
    st.sampled_from(["state", "wifi", "frame", "reply", "event/x"]),
    st.binary(min_size=1) | st.binary().map(lambda tail: b"\xff\xd8\xff\xfe" + tail),
)
def test_garbage_on_our_topics(kind: str, payload: bytes) -> None:
    with pytest.raises(MessageError):
        read(kind, payload)
