"""The envelope: what goes in comes out, and garbage is refused as MessageError alone."""

import json
from datetime import UTC, datetime

import msgspec
import pytest
from docs.structs import structs
from hypothesis import given
from hypothesis import strategies as st

from node.messages import (
    KINDS,
    PAYLOAD_BYTES_MAX,
    Envelope,
    MessageError,
    State,
    decode_data,
    decode_envelope,
    encode,
)

GOOD: dict[str, object] = {
    "node": "pasar-horas",
    "boot": "0123456789abcdef",
    "seq": 1,
    "at": "2026-01-01T00:00:00Z",
    "mono": 1.5,
    "clock_synced": True,
    "historical": False,
    "kind": "state",
    "data": {"online": True},
}
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)


def _refused(payload: bytes) -> str:
    with pytest.raises(MessageError) as caught:
        decode_envelope(payload)
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_every_message_comes_out_as_it_went_in(kind: str, data: st.DataObject) -> None:
    message = data.draw(structs(KINDS[kind]))
    sent = Envelope(
        node="a",
        boot="0" * 16,
        seq=data.draw(st.integers(0, 2**63 - 1)),
        at=data.draw(st.datetimes(timezones=st.just(UTC))),
        mono=data.draw(st.floats(0, 1e12)),
        clock_synced=data.draw(st.booleans()),
        historical=data.draw(st.booleans()),
        kind=kind,
        data=msgspec.Raw(encode(message)),
    )
    received = decode_envelope(encode(sent))
    assert encode(received) == encode(sent)
    assert received.at == sent.at
    assert decode_data(received, KINDS[kind]) == message


def test_unknown_fields_are_skipped() -> None:
    newer = {**GOOD, "new": 1, "data": {"online": True, "newer": [1]}}
    envelope = decode_envelope(json.dumps(newer).encode())
    assert decode_data(envelope, State) == State(online=True)
    assert envelope.at == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "wrong",
    [
        {"node": "Pasar"},
        {"node": "a/b"},
        {"node": "+"},
        {"node": "a" * 64},
        {"boot": "short"},
        {"boot": "0123456789ABCDEF"},
        {"seq": -1},
        {"seq": 2**63},
        {"seq": 1.5},
        {"seq": "1"},
        {"at": "2026-01-01T00:00:00"},
        {"at": "yesterday"},
        {"mono": "1"},
        {"clock_synced": 1},
        {"kind": "state/../cmd"},
        {"kind": ""},
    ],
)
def test_a_field_that_does_not_fit_is_refused(wrong: dict[str, object]) -> None:
    assert f"$.{next(iter(wrong))}" in _refused(json.dumps({**GOOD, **wrong}).encode())


@pytest.mark.parametrize("field", GOOD)
def test_a_missing_field_is_refused(field: str) -> None:
    rest = {key: value for key, value in GOOD.items() if key != field}
    assert f"`{field}`" in _refused(json.dumps(rest).encode())


def test_an_oversized_payload_is_refused_unread() -> None:
    payload = json.dumps(GOOD).encode()
    fits = payload + b" " * (PAYLOAD_BYTES_MAX - len(payload))
    assert decode_envelope(fits).node == "pasar-horas"
    assert f"at most {PAYLOAD_BYTES_MAX}" in _refused(fits + b" ")


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"node":['])
def test_deep_nesting_is_refused(opening: bytes) -> None:
    _refused(opening * (PAYLOAD_BYTES_MAX // len(opening)))


def test_deep_nesting_within_data_is_refused_somewhere() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    payload = json.dumps(GOOD).encode().replace(b'{"online": true}', deep)
    with pytest.raises(MessageError):
        decode_data(decode_envelope(payload), State)


def test_data_that_does_not_fit_its_kind_names_kind_and_node() -> None:
    envelope = decode_envelope(json.dumps({**GOOD, "data": {"online": 3}}).encode())
    with pytest.raises(MessageError, match="state of pasar-horas"):
        decode_data(envelope, State)


@given(st.binary())
def test_garbage_is_a_message_error(payload: bytes) -> None:
    _refused(payload)


@given(_JSON)
def test_any_json_is_a_message_error(value: object) -> None:
    _refused(json.dumps(value).encode())


@given(st.sampled_from(sorted(GOOD)), _JSON)
def test_an_envelope_with_any_field_replaced_is_read_or_refused(field: str, value: object) -> None:
    try:
        envelope = decode_envelope(json.dumps({**GOOD, field: value}).encode())
        decode_data(envelope, State)
    except MessageError:
        return
    assert envelope.seq >= 0


@given(st.binary(max_size=40), st.integers(0, 200))
def test_a_broken_envelope_is_read_or_refused(noise: bytes, at: int) -> None:
    payload = json.dumps(GOOD).encode()
    try:
        decode_data(decode_envelope(payload[:at] + noise + payload[at:]), State)
    except MessageError:
        return
