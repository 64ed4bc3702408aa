"""Commands and replies: a closed list; whatever else arrives is refused as MessageError."""

import json

import pytest
from docs.structs import structs
from hypothesis import given
from hypothesis import strategies as st

from node.messages import (
    COMMAND_BYTES_MAX,
    Command,
    MessageError,
    Replay,
    Reply,
    Snapshot,
    decode_command,
    decode_reply,
    encode,
    encode_command,
)

_REPLAY: dict[str, object] = {
    "command": "replay",
    "id": "a-1",
    "boot": "0123456789abcdef",
    "first": 1,
    "last": 9,
}


@given(structs(Replay) | structs(Snapshot))
def test_a_command_comes_out_as_it_went_in(command: Command) -> None:
    assert decode_command(encode_command(command)) == command


@given(structs(Reply))
def test_a_reply_comes_out_as_it_went_in(reply: Reply) -> None:
    assert decode_reply(encode(reply)) == reply


@pytest.mark.parametrize(
    "command",
    [
        {"command": "shell", "id": "1"},
        {"id": "1"},
        {"command": "snapshot"},
        {"command": "snapshot", "id": "1", "run": "reboot"},
        {"command": "snapshot", "id": ""},
        {"command": "snapshot", "id": "a" * 65},
        {"command": "snapshot", "id": "$(reboot)"},
        {**_REPLAY, "boot": "../../etc"},
        {**_REPLAY, "first": 0},
        {**_REPLAY, "last": 2**63},
        {**_REPLAY, "last": "9"},
        [_REPLAY],
    ],
)
def test_what_is_not_in_the_list_is_refused(command: object) -> None:
    with pytest.raises(MessageError):
        decode_command(json.dumps(command).encode())


def test_an_oversized_command_is_refused_unread() -> None:
    payload = json.dumps(_REPLAY).encode().ljust(COMMAND_BYTES_MAX)
    assert isinstance(decode_command(payload), Replay)
    with pytest.raises(MessageError, match=f"at most {COMMAND_BYTES_MAX}"):
        decode_command(payload + b" ")


def test_deep_nesting_is_refused() -> None:
    for parse, size in ((decode_command, COMMAND_BYTES_MAX), (decode_reply, 200_000)):
        for opening in (b"[", b'{"id":'):
            with pytest.raises(MessageError):
                parse(opening * (size // len(opening)))


@given(st.binary() | st.text().map(str.encode))
def test_garbage_is_a_message_error(payload: bytes) -> None:
    for parse in (decode_command, decode_reply):
        with pytest.raises(MessageError):
            parse(payload)


@given(st.binary(max_size=20), st.integers(0, 80))
def test_a_broken_command_is_read_or_refused(noise: bytes, at: int) -> None:
    payload = json.dumps(_REPLAY).encode()
    try:
        command = decode_command(payload[:at] + noise + payload[at:])
    except MessageError:
        return
    assert isinstance(command, Replay)
