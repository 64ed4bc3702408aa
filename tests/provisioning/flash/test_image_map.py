"""Block maps: bmaptool's own are read, damaged ones are refused in words, whatever the damage."""

import contextlib
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.card_images import MIB, create_map

from provisioning.flash.errors import ImageError
from provisioning.flash.image_map import Range, parse_map, read_map, whole_map

HEAD = "<bmap version='2.0'><ImageSize>{size}</ImageSize><BlockSize>4096</BlockSize>"
SUM = "a" * 64


def bmap(*ranges: str, size: int = MIB, chksum: str = SUM) -> bytes:
    body = "".join(f"<Range chksum='{chksum}'>{each}</Range>" for each in ranges)
    kind = "<ChecksumType>sha256</ChecksumType>"
    return f"{HEAD.format(size=size)}{kind}<BlockMap>{body}</BlockMap></bmap>".encode()


def test_a_map_of_bmaptool_is_read(tmp_path: Path) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(8 * MIB)
        file.write(b"x" * 4096)
        file.seek(4 * MIB)
        file.write(b"y" * 8192)
    create_map(image, tmp_path / "map")
    found = read_map(tmp_path / "map")
    assert found.image_bytes == 8 * MIB
    assert [(each.offset_bytes, each.length_bytes) for each in found.ranges] == [
        (0, 4096),
        (4 * MIB, 8192),
    ]
    summed = subprocess.run(["sha256sum"], input=b"x" * 4096, check=True, capture_output=True)
    assert found.ranges[0].sha256 == summed.stdout.split()[0].decode()


def test_one_flipped_byte_of_a_map_is_seen(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"x" * MIB)
    create_map(image, tmp_path / "map")
    text = bytearray((tmp_path / "map").read_bytes())
    at = text.index(b'chksum="') + 10
    text[at] = ord("0") if text[at] != ord("0") else ord("1")
    with pytest.raises(ImageError, match="damaged"):
        parse_map(bytes(text), "map")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "no block map"),
        (b"<html/>", "begins with <html>"),
        (b"<!DOCTYPE x [<!ENTITY a 'b'>]><bmap/>", "no document type"),
        (bmap(), "first block"),
        (bmap("1-2"), "first block"),
        (bmap("0-2", "2-3"), "overlap"),
        (bmap("0", "9-8"), "outside"),
        (bmap("0", "256"), "outside"),
        (bmap("0", "-1"), "no range"),
        (bmap("0", chksum="zz"), "no SHA-256"),
        (bmap("0", size=0), "ImageSize"),
        (HEAD.format(size=MIB).replace("4096", "1000").encode() + b"</bmap>", "BlockSize"),
    ],
)
def test_a_wrong_map_is_refused_in_words(text: bytes, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        parse_map(text, "map")


@given(st.binary(max_size=300))
def test_nothing_but_an_image_error_comes_of_rubbish(text: bytes) -> None:
    with contextlib.suppress(ImageError):
        parse_map(text, "map")


@given(
    st.lists(
        st.tuples(st.integers(0, 300), st.integers(0, 300)).map(lambda two: f"{two[0]}-{two[1]}"),
        max_size=6,
    ),
    st.integers(0, 2 * MIB),
)
def test_ranges_are_ascending_apart_and_inside(ranges: list[str], size: int) -> None:
    with contextlib.suppress(ImageError):
        found = parse_map(bmap(*ranges, size=size), "map")
        end = 0
        for each in found.ranges:
            assert each.offset_bytes >= end
            assert each.length_bytes > 0
            end = each.end_bytes
        assert end <= found.image_bytes


@given(st.integers(1, 2**33))
def test_an_image_without_a_map_is_covered_whole(size: int) -> None:
    found = whole_map(size)
    assert found.mapped_bytes == size
    assert found.ranges[0].offset_bytes == 0
    assert found.ranges[-1].end_bytes == size


def test_keys_tell_contents_apart() -> None:
    one, other = parse_map(bmap("0"), "a"), parse_map(bmap("0", chksum="b" * 64), "b")
    assert one.key != other.key
    assert one.ranges[0] == Range(0, 4096, SUM)
