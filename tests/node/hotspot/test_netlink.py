"""Holds the framing to netlink(7): whole replies are taken apart, refusals and garbage are told."""

import errno
import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from node.errors import RadioError
from node.hotspot import netlink

FIXTURES = Path(__file__).parent / "fixtures"
DONE, ERROR = 3, 2


def message(kind: int, body: bytes = b"", flags: int = 0) -> bytes:
    return netlink.HEADER.pack(16 + len(body), kind, flags, 1, 0) + body


def status(number: int) -> bytes:
    return struct.pack("=i", number)


def explanation(text: bytes) -> bytes:
    return netlink.attribute(1, text + b"\0")


def test_a_recorded_dump_has_its_messages_without_the_last() -> None:
    assert len(netlink.contents((FIXTURES / "station_four.bin").read_bytes())) == 4
    assert len(netlink.contents((FIXTURES / "wiphy.bin").read_bytes())) == 189


def test_an_empty_dump_is_no_refusal() -> None:
    assert netlink.contents((FIXTURES / "station_none.bin").read_bytes()) == []


def test_a_recorded_refusal_at_the_end_of_a_dump_is_told() -> None:
    with pytest.raises(netlink.RefusedError, match="No such device") as caught:
        netlink.contents((FIXTURES / "station_no_such_interface.bin").read_bytes())
    assert caught.value.number == errno.ENODEV


def test_a_refusal_by_error_is_told_with_its_explanation() -> None:
    request = message(32, b"12345678")
    whole = message(ERROR, status(-errno.EINVAL) + request + explanation(b"no such key"), 0x200)
    capped = message(
        ERROR, status(-errno.EINVAL) + request[:16] + explanation(b"no such key"), 0x300
    )
    for raw in (whole, capped):
        with pytest.raises(
            netlink.RefusedError, match=r"Invalid argument .errno 22.: no such key$"
        ):
            netlink.contents(raw)


def test_a_refused_dump_is_told_with_its_explanation() -> None:
    raw = message(DONE, status(-errno.EOPNOTSUPP) + explanation(b"not here"), 0x202)
    with pytest.raises(netlink.RefusedError, match=r"not supported .errno 95.: not here$"):
        netlink.contents(raw)


def test_a_dump_that_does_not_end_is_not_taken_for_whole() -> None:
    raw = (FIXTURES / "station_four.bin").read_bytes()
    with pytest.raises(RadioError, match="without its last message"):
        netlink.contents(raw[:-20])
    with pytest.raises(RadioError, match="without its last message"):
        netlink.contents(b"")


def test_a_dump_during_which_the_list_changed_is_known() -> None:
    assert not netlink.interrupted((FIXTURES / "station_four.bin").read_bytes())
    assert netlink.interrupted(message(32, flags=0x12) + message(DONE, status(0)))
    assert netlink.interrupted(message(32) + message(DONE, status(0), flags=0x10))


def test_attributes_are_read_back_as_they_were_packed() -> None:
    packed = netlink.attribute(3, b"\1\0\0\0") + netlink.attribute(2, b"nl80211\0x")
    assert len(packed) % 4 == 0
    assert list(netlink.attributes(packed)) == [(3, b"\1\0\0\0"), (2, b"nl80211\0x")]


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_but_the_stated_error(raw: bytes) -> None:
    for read in (netlink.contents, netlink.interrupted, lambda raw: list(netlink.attributes(raw))):
        with suppress(RadioError):
            read(raw)


@given(
    kind=st.sampled_from([ERROR, DONE]),
    number=st.integers(-(2**31), 2**31 - 1),
    flags=st.integers(0, 0xFFFF),
    rest=st.binary(max_size=60),
)
@example(kind=DONE, number=-(2**31), flags=0, rest=b"")
def test_any_last_message_is_an_end_or_the_stated_error(
    kind: int, number: int, flags: int, rest: bytes
) -> None:
    try:
        assert netlink.contents(message(kind, status(number) + rest, flags)) == []
        assert number >= 0
    except RadioError:
        assert number < 0
