"""A batch body gives back what was packed, and nothing but ValueError for anything else."""

import contextlib
import zlib
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.messages import Envelope
from node.outbox.batch import historical, pack, unpack

EARLIER = Envelope(
    node="taman-bunga",
    boot="0" * 16,
    seq=1,
    at=datetime(2026, 1, 1, tzinfo=UTC),
    mono=1.0,
    clock_synced=True,
    historical=False,
    kind="health",
    data=msgspec.Raw(b"{}"),
)
TEXT = st.text(max_size=40)
ENVELOPES = st.builds(
    Envelope,
    node=st.just("taman-bunga"),
    boot=st.just("0" * 16),
    seq=st.integers(0, 2**63 - 1),
    at=st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 1)),  # noqa: DTZ001 - st adds the zone
    mono=st.floats(allow_nan=False, allow_infinity=False),
    clock_synced=st.booleans(),
    historical=st.just(False),  # noqa: FBT003 - hypothesis' own signature
    kind=st.just("health"),
    data=TEXT.map(lambda text: msgspec.Raw(msgspec.json.encode({"text": text}))),
)


@given(st.lists(ENVELOPES, min_size=1, max_size=20))
def test_round_trip(envelopes: list[Envelope]) -> None:
    assert [msgspec.json.encode(envelope) for envelope in unpack(pack(envelopes))] == [
        msgspec.json.encode(envelope) for envelope in envelopes
    ]


@given(st.lists(ENVELOPES, min_size=1, max_size=3))
def test_historical_changes_only_the_mark(envelopes: list[Envelope]) -> None:
    for before, after in zip(envelopes, historical(envelopes), strict=True):
        assert after.historical
        assert msgspec.structs.replace(after, historical=False) == before


@given(st.binary(max_size=200))
def test_garbage_is_a_value_error(body: bytes) -> None:
    for damaged in (body, zlib.compress(body)):
        with contextlib.suppress(ValueError):
            unpack(damaged)


def test_a_number_that_the_streams_own_checksum_lets_pass_is_refused() -> None:
    whole = bytearray.fromhex(
        "7801ab564a54b25230d033323235373630353737b634370452263a0a4a494019a50a2c40a9160084ce10c7"
    )
    checksum = zlib.crc32(whole).to_bytes(4, "big")
    assert b"0.22573057739715774," in zlib.decompress(whole)
    whole[24] ^= 1 << 6
    assert b"0.22573057739717394," in zlib.decompress(whole)
    with pytest.raises(ValueError, match="checksum"):
        unpack(bytes(whole) + checksum)


def test_a_batch_of_an_agent_that_wrote_no_checksum_is_read() -> None:
    (envelope,) = unpack(zlib.compress(msgspec.json.encode(EARLIER)))
    assert envelope == EARLIER
    # And such an agent reads one that has it, as it does while it tries a new release.
    assert zlib.decompress(pack([EARLIER])) == msgspec.json.encode(EARLIER)


@given(st.lists(ENVELOPES, min_size=1, max_size=3), st.data())
def test_a_flipped_bit_never_passes(envelopes: list[Envelope], data: st.DataObject) -> None:
    body = bytearray(pack(envelopes))
    bit = data.draw(st.integers(0, len(body) * 8 - 1))
    body[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ValueError, match="damaged batch"):
        unpack(bytes(body))
