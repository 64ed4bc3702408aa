"""The note inside of a still: it survives, and a damaged picture is refused as MessageError."""

import io
import struct
from datetime import UTC, datetime

import numpy as np
import pytest
import simplejpeg
from docs.structs import structs
from hypothesis import given
from hypothesis import strategies as st

from node.messages import (
    STILL_BYTES_MAX,
    MessageError,
    StillInfo,
    encode,
    read_still_info,
    write_still_info,
)

INFO = StillInfo(
    node="pasar-horas",
    boot="0123456789abcdef",
    at=datetime(2026, 1, 1, tzinfo=UTC),
    mono=1.5,
    clock_synced=True,
    width=32,
    height=16,
)
PIXELS = np.arange(16 * 32 * 3, dtype=np.uint8).reshape(16, 32, 3)
JPEG = simplejpeg.encode_jpeg(PIXELS)


def _segment(code: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, code, len(content) + 2) + content


def _refused(jpeg: bytes) -> str:
    with pytest.raises(MessageError) as caught:
        read_still_info(jpeg)
    return str(caught.value)


@given(structs(StillInfo))
def test_the_note_survives_and_the_picture_stays_the_same(info: StillInfo) -> None:
    still = write_still_info(JPEG, info)
    assert read_still_info(still) == info
    before, after = (simplejpeg.decode_jpeg(each) for each in (JPEG, still))
    assert np.array_equal(before, after)


def test_the_note_is_found_behind_other_segments() -> None:
    others = _segment(0xE1, b"Exif") + _segment(0xFE, b"a comment of somebody else")
    still = write_still_info(JPEG, INFO)
    assert read_still_info(still[:2] + others + still[2:]) == INFO


def test_the_first_note_counts() -> None:
    other = StillInfo(
        **{**{name: getattr(INFO, name) for name in INFO.__struct_fields__}, "mono": 9}
    )
    assert read_still_info(write_still_info(write_still_info(JPEG, INFO), other)) == other


def test_a_still_cut_anywhere_within_its_note_is_refused() -> None:
    still = write_still_info(JPEG, INFO)
    end = len(still) - len(JPEG) + 2
    for length in range(end):
        _refused(still[:length])
    assert read_still_info(still[:end]) == INFO


@pytest.mark.parametrize(
    ("jpeg", "words"),
    [
        (b"", "not a JPEG"),
        (b"\x89PNG\r\n", "not a JPEG"),
        (JPEG, "no note"),
        (b"\xff\xd8", "no note"),
        (b"\xff\xd8\xff\xfe\x00\x00", "no note"),
        (b"\xff\xd8" + _segment(0xFE, b"simpul "), "does not fit"),
        (b"\xff\xd8" + _segment(0xFE, b"simpul {}"), "does not fit"),
        (b"\xff\xd8" + _segment(0xFE, b"simpul \xff\xfe"), "does not fit"),
        (b"\xff\xd8" + _segment(0xFE, b"simpul " + b"[" * 65_000), "does not fit"),
        (b"\xff\xd8" + _segment(0xDA, b"scan") + _segment(0xFE, b"simpul {}"), "no note"),
    ],
)
def test_what_carries_no_note_is_refused(jpeg: bytes, words: str) -> None:
    assert words in _refused(jpeg)


def test_an_oversized_still_is_refused_unread() -> None:
    still = write_still_info(JPEG, INFO).ljust(STILL_BYTES_MAX, b"\0")
    assert read_still_info(still) == INFO
    assert f"at most {STILL_BYTES_MAX}" in _refused(still + b"\0")


def test_only_a_jpeg_is_given_a_note() -> None:
    with pytest.raises(MessageError, match="FF D8"):
        write_still_info(b"\x89PNG", INFO)


@given(st.binary().map(b"\xff\xd8".__add__) | st.binary())
def test_garbage_is_a_message_error(jpeg: bytes) -> None:
    _refused(jpeg)


@given(st.integers(0, 400), st.binary(min_size=1, max_size=8))
def test_a_damaged_still_is_read_or_refused(at: int, noise: bytes) -> None:
    damaged = io.BytesIO(write_still_info(JPEG, INFO))
    damaged.seek(at)
    damaged.write(noise)
    try:
        info = read_still_info(damaged.getvalue())
    except MessageError:
        return
    assert encode(info)
