"""Records survive the pipe in whatever pieces; anything else ends the conversation."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.camera.pipe import RECORD_BYTES_MAX, Figures, Record, RecordReader, Still, encode_record
from node.errors import CameraError

PIXELS = st.integers(1, 65_535)
MONO = st.floats(0, 1e9)
COUNTS = st.integers(0, 2**40)
RECORDS = st.one_of(
    st.builds(
        Still,
        jpeg=st.binary(max_size=500),
        width=PIXELS,
        height=PIXELS,
        mono=MONO,
        simulated=st.booleans(),
    ),
    st.builds(
        Figures,
        frames_count=COUNTS,
        frames_dropped_count=COUNTS,
        newest_mono=MONO,
        width=PIXELS,
        height=PIXELS,
        simulated=st.booleans(),
        masked_ratio=st.floats(0, 1),
    ),
)


@given(st.lists(RECORDS, max_size=5), st.integers(1, 200))
def test_records_come_whole_out_of_any_pieces(records: list[Record], piece_bytes: int) -> None:
    stream = b"".join(map(encode_record, records))
    reader = RecordReader()
    pieces = (stream[at : at + piece_bytes] for at in range(0, len(stream), piece_bytes))
    assert [record for piece in pieces for record in reader.feed(piece)] == records


@given(st.binary(max_size=400))
def test_garbage_raises_nothing_but_a_camera_error(garbage: bytes) -> None:
    with contextlib.suppress(CameraError):
        list(RecordReader().feed(garbage))


def test_a_length_that_nobody_sends_is_refused_unread() -> None:
    with pytest.raises(CameraError, match="something else writes"):
        list(RecordReader().feed((RECORD_BYTES_MAX + 1).to_bytes(4, "big")))
