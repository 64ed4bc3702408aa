"""Every parser of the contract takes what was written and refuses all else in its own words."""

import contextlib
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.messages import (
    COMMAND_BYTES_MAX,
    KINDS,
    PAYLOAD_BYTES_MAX,
    STILL_BYTES_MAX,
    Envelope,
    Health,
    MessageError,
    Replay,
    Snapshot,
    StillInfo,
    decode_command,
    decode_data,
    decode_envelope,
    decode_reply,
    encode,
    encode_command,
    parse_topic,
    read_still_info,
    topic_of,
    write_still_info,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000") + b"\xff\xda\x00\x02data\xff\xd9"
NAMES = st.from_regex(r"[a-z0-9]{1,8}(-[a-z0-9]{1,8}){0,3}", fullmatch=True)


def envelope(**changes: object) -> Envelope:
    fields: dict[str, object] = {
        "node": "taman-bunga", "boot": "0" * 16, "seq": 1, "at": NOW, "mono": 1.5,
        "clock_synced": True, "historical": False, "kind": "health", "data": msgspec.Raw(b"{}"),
    }  # fmt: skip
    return Envelope(**{**fields, **changes})  # type: ignore[arg-type]


def still_info(**changes: object) -> StillInfo:
    fields: dict[str, object] = {
        "node": "taman-bunga", "boot": "0" * 16, "at": NOW, "mono": 1.5, "clock_synced": True,
        "width": 640, "height": 360,
    }  # fmt: skip
    return StillInfo(**{**fields, **changes})  # type: ignore[arg-type]


def test_an_envelope_comes_back() -> None:
    assert decode_envelope(encode(envelope())) == envelope()


def test_a_newer_node_is_understood() -> None:
    payload = encode(envelope()).replace(b'"seq":1', b'"seq":1,"colour":"blue"')
    assert decode_envelope(payload).seq == 1


@pytest.mark.parametrize(
    "change",
    [
        (b'"seq":1', b'"seq":-1'),
        (b'"seq":1', b'"seq":"1"'),
        (b"taman-bunga", b"../../etc"),
        (b"taman-bunga", b"Taman"),
        (b"0000000000000000", b"000000000000000G"),
        (b"2026-05-01T12:00:00Z", b"2026-05-01T12:00:00"),
        (b"2026-05-01T12:00:00Z", b"yesterday"),
        (b'"health"', b'"health/../state"'),
        (b'"health"', b'"a/b/c"'),
    ],
)
def test_what_is_no_envelope_is_refused(change: tuple[bytes, bytes]) -> None:
    payload = encode(envelope())
    assert change[0] in payload
    with pytest.raises(MessageError):
        decode_envelope(payload.replace(*change))


@given(st.binary(max_size=300))
def test_garbage_is_a_message_error(garbage: bytes) -> None:
    for read in (decode_envelope, decode_command, decode_reply, read_still_info):
        with contextlib.suppress(MessageError):
            read(garbage)


@pytest.mark.parametrize("read", [decode_envelope, decode_command, decode_reply])
def test_absurd_nesting_is_a_message_error(read: object) -> None:
    for text in (b"[" * 3000, b'{"data":' * 400, b'{"id":' + b"[" * 3000):
        with pytest.raises(MessageError):
            read(text)  # type: ignore[operator]


def test_what_is_too_large_is_refused_unread() -> None:
    with pytest.raises(MessageError, match="at most"):
        decode_envelope(b" " * (PAYLOAD_BYTES_MAX + 1))
    with pytest.raises(MessageError, match="at most"):
        decode_command(b" " * (COMMAND_BYTES_MAX + 1))
    with pytest.raises(MessageError, match="at most"):
        read_still_info(b" " * (STILL_BYTES_MAX + 1))


def test_data_of_another_kind_is_refused() -> None:
    wrong = envelope(data=msgspec.Raw(b'{"load_1min":"high"}'))
    with pytest.raises(MessageError, match="health of taman-bunga"):
        decode_data(wrong, Health)


@given(NAMES, st.sampled_from([*KINDS, "cmd", "frame"]))
def test_a_topic_comes_back(node: str, kind: str) -> None:
    assert parse_topic(topic_of(node, kind)) == (node, kind)


@given(st.text(max_size=60))
def test_any_topic_is_read_without_harm(topic: str) -> None:
    parsed = parse_topic(topic)
    assert parsed is None or topic_of(*parsed) == topic


@pytest.mark.parametrize(
    "command",
    [Snapshot(id="a-1"), Replay(id="b", boot="0" * 16, first=1, last=2**63 - 1)],
)
def test_a_command_comes_back(command: Snapshot | Replay) -> None:
    assert decode_command(encode_command(command)) == command


def test_a_still_carries_its_note_and_stays_a_jpeg() -> None:
    still = write_still_info(JPEG, still_info())
    assert read_still_info(still) == still_info()
    assert still.startswith(b"\xff\xd8")
    assert still.endswith(JPEG[2:])


@given(st.integers(0, 400))
def test_a_cut_off_still_is_a_message_error_or_whole(length: int) -> None:
    still = write_still_info(JPEG, still_info())
    try:
        info = read_still_info(still[:length])
    except MessageError:
        return
    assert info == still_info()


@given(st.binary(max_size=200))
def test_any_segments_are_walked_without_harm(tail: bytes) -> None:
    with contextlib.suppress(MessageError):
        read_still_info(b"\xff\xd8" + tail)


def test_what_is_no_jpeg_gets_no_note() -> None:
    with pytest.raises(MessageError, match="must be a JPEG"):
        write_still_info(b"PNG", still_info())
