"""Frames are found exactly where they are, and a table of frames that lies is not believed."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from provisioning.seekable import FRAME_BYTES_MAX, pack_frame, read_frames, seek_table, unpack_frame

pieces = st.lists(st.binary(min_size=1, max_size=5000), max_size=8)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("seekable") / "file.zst"


def packed(plain: Sequence[bytes]) -> bytes:
    frames = [pack_frame(each, 1) for each in plain]
    sizes = [(len(frame), len(each)) for frame, each in zip(frames, plain, strict=True)]
    return b"".join(frames) + seek_table(sizes)


def opened(file: Path, content: bytes) -> BinaryIO:
    file.write_bytes(content)
    return file.open("rb")


@given(pieces)
def test_every_frame_is_found_and_unpacked_alone(file: Path, plain: list[bytes]) -> None:
    content = packed(plain)
    with opened(file, content) as packed_file:
        frames = read_frames(packed_file)
    at = 0
    for frame, piece in zip(frames, plain, strict=True):
        assert frame.plain_offset_bytes == at
        at += frame.plain_bytes
        start = frame.packed_offset_bytes
        buffer = memoryview(bytearray(frame.plain_bytes))
        unpack_frame(content[start : start + frame.packed_bytes], buffer)
        assert buffer == piece


@given(pieces)
def test_who_knows_no_table_reads_one_stream(plain: list[bytes]) -> None:
    stream = zstandard.ZstdDecompressor().stream_reader(
        io.BytesIO(packed(plain)), read_across_frames=True
    )
    assert stream.read() == b"".join(plain)


def test_the_table_of_another_program_may_have_checksums(file: Path) -> None:
    frame = pack_frame(b"simpul", 1)
    table = bytearray(seek_table([(len(frame), 6)]))
    table[4:8] = (len(table) - 8 + 4).to_bytes(4, "little")
    table[16:16] = b"\0\1\2\3"  # the lower half of the XXH64 of the plain bytes
    table[-5] |= 0x80
    with opened(file, frame + table) as packed_file:
        (found,) = read_frames(packed_file)
    assert (found.packed_bytes, found.plain_bytes) == (len(frame), 6)


@given(pieces, st.data())
def test_of_a_cut_file_no_frames_are_believed(
    file: Path, plain: list[bytes], data: st.DataObject
) -> None:
    content = packed(plain)
    cut = data.draw(st.integers(0, len(content) - 1))
    with opened(file, content[:cut]) as packed_file:
        assert read_frames(packed_file) == ()


@given(pieces.filter(bool), st.data())
def test_no_changed_byte_gives_other_plain_bytes(
    file: Path, plain: list[bytes], data: st.DataObject
) -> None:
    """Whatever is damaged, frames or table: refused, read as a stream, or right."""
    content = bytearray(packed(plain))
    where = data.draw(st.integers(0, len(content) - 1))
    content[where] ^= data.draw(st.integers(1, 255))
    with opened(file, bytes(content)) as packed_file:
        frames = read_frames(packed_file)
    got = b""
    try:
        for frame in frames:
            start = frame.packed_offset_bytes
            buffer = memoryview(bytearray(frame.plain_bytes))
            unpack_frame(bytes(content[start : start + frame.packed_bytes]), buffer)
            got += buffer
    except ValueError:
        return
    assert not frames or got == b"".join(plain)


@given(st.binary(max_size=200), st.binary(max_size=40))
def test_any_bytes_may_stand_at_the_end(file: Path, content: bytes, tail: bytes) -> None:
    footers = (b"", tail + b"\xb1\xea\x92\x8f", b"\1\0\0\0\0\xb1\xea\x92\x8f")
    for footer in footers:
        with opened(file, content + footer) as packed_file:
            assert read_frames(packed_file) == ()


def test_frames_too_large_to_hold_are_left_to_the_stream(file: Path) -> None:
    frame = pack_frame(b"simpul", 1)
    content = frame + seek_table([(len(frame), FRAME_BYTES_MAX + 1)])
    with opened(file, content) as packed_file:
        assert read_frames(packed_file) == ()


@pytest.mark.parametrize("claimed", [5, 7])
def test_a_frame_of_another_size_is_refused(claimed: int) -> None:
    with pytest.raises(ValueError, match="not as long"):
        unpack_frame(pack_frame(b"simpul", 1), memoryview(bytearray(claimed)))
