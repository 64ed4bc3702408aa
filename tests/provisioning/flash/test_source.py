"""Images of every form give the same plain bytes, decoded once, whatever lies beside them."""

import bz2
import gzip
import lzma
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from services.card_images import MIB, CardImage, make_image

from provisioning.flash.errors import ImageError, StationError
from provisioning.flash.frames import decode_frames
from provisioning.flash.image_map import ImageMap, Range
from provisioning.flash.source import Source, map_beside, open_source
from provisioning.image.compress import compress
from provisioning.seekable import pack_frame, read_frames, seek_table

PACK: dict[str, Callable[[bytes], bytes]] = {
    ".zst": zstandard.compress,  # as others do: one frame
    ".gz": lambda data: gzip.compress(data, 1),
    ".xz": lambda data: lzma.compress(data, preset=0),
    ".bz2": lambda data: bz2.compress(data, 1),
}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> CardImage:
    return make_image(tmp_path_factory.mktemp("image"), size_bytes=32 * MIB, data_bytes=6 * MIB)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged")


def assert_holds(source: Source, image: CardImage) -> None:
    plain = image.plain.read_bytes()
    for part in source.map.ranges:
        read = memoryview(bytearray(part.length_bytes))
        source.read_into(read, part.offset_bytes)
        assert read == plain[part.offset_bytes : part.end_bytes]
        assert source.is_intact(part)


@pytest.mark.parametrize("mapping", ["with map", "as a whole"])
@pytest.mark.parametrize("form", ["", "ours", *PACK])
def test_every_form_is_read(form: str, mapping: str, image: CardImage, tmp_path: Path) -> None:
    packed = tmp_path / f"card.img{form if form in PACK else ''}"
    if form in PACK:
        packed.write_bytes(PACK[form](image.plain.read_bytes()))
    else:
        shutil.copy(image.packed if form else image.plain, packed)
    if mapping == "with map":
        shutil.copy(image.map_file, tmp_path / "card.bmap")
    with open_source(packed, cache=tmp_path / "cache") as source:
        assert_holds(source, image)
        assert len(source.sha256()) == 64
        whole = source.map.mapped_bytes == 32 * MIB
        assert whole == (mapping == "as a whole")


def test_many_read_at_their_own_pace(image: CardImage, tmp_path: Path) -> None:
    """The fast and the slow see the same, from one decoding."""
    turn = threading.Event()
    with open_source(image.packed, cache=tmp_path) as source:
        slow = threading.Thread(target=lambda: (turn.wait(), assert_holds(source, image)))
        slow.start()
        assert_holds(source, image)
        turn.set()
        slow.join()


def test_a_proven_image_is_decoded_once(image: CardImage, tmp_path: Path) -> None:
    with open_source(image.packed, cache=tmp_path) as source:
        source.sha256()
        assert list(tmp_path.iterdir()) == []  # nothing is left when nothing was proven
        source.trust()
    (kept,) = tmp_path.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    with open_source(image.packed, cache=tmp_path) as again:
        assert Path(f"/proc/self/fd/{again._plain.fileno()}").readlink() == kept
        assert_holds(again, image)


@pytest.mark.parametrize("cut", [1000, -1000])
def test_a_cut_image_is_refused_in_words(cut: int, image: CardImage, tmp_path: Path) -> None:
    packed = tmp_path / "card.img.zst"
    packed.write_bytes(image.packed.read_bytes()[:cut])
    with (
        open_source(packed, map_file=image.map_file, cache=tmp_path / "cache") as source,
        pytest.raises(ImageError, match="damaged"),
    ):
        assert_holds(source, image)


def test_what_holds_nothing_is_not_decoded(image: CardImage, tmp_path: Path) -> None:
    """A frame outside the map may be damaged, and nobody minds; one inside is named."""
    content = bytearray(image.packed.read_bytes())
    with image.packed.open("rb") as file:
        first, *_, last = read_frames(file)
    packed = tmp_path / "card.img.zst"
    for frame in (last, first):
        content[frame.packed_offset_bytes + frame.packed_bytes // 2] ^= 0xFF
        packed.write_bytes(content)
        with open_source(packed, map_file=image.map_file, cache=tmp_path / "cache") as source:
            if frame is last:
                assert_holds(source, image)
                continue
            with pytest.raises(ImageError, match="damaged"):
                assert_holds(source, image)


def test_frames_that_end_before_the_map_are_named(image: CardImage, tmp_path: Path) -> None:
    """Whole in itself, and yet not all of the image."""
    with image.packed.open("rb") as file:
        frames = read_frames(file)[:3]
    kept = image.packed.read_bytes()[: sum(each.packed_bytes for each in frames)]
    packed = tmp_path / "card.img.zst"
    packed.write_bytes(kept + seek_table((each.packed_bytes, each.plain_bytes) for each in frames))
    with (
        open_source(packed, map_file=image.map_file, cache=tmp_path / "cache") as source,
        pytest.raises(ImageError, match="damaged: it ends early"),
    ):
        assert_holds(source, image)


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=3000), min_size=1, max_size=6), data=st.data()
)
def test_a_damaged_image_is_right_or_refused(
    pieces: list[bytes], data: st.DataObject, directory: Path
) -> None:
    """Frames of any size, ranges that begin and end anywhere, and one byte changed, or a cut."""
    plain = b"".join(pieces)
    frames = [pack_frame(each, 1) for each in pieces]
    sizes = [(len(frame), len(each)) for frame, each in zip(frames, pieces, strict=True)]
    content = bytearray(b"".join(frames) + seek_table(sizes))
    where = data.draw(st.integers(0, len(content) - 1))
    match data.draw(st.sampled_from(("whole", "changed", "cut"))):
        case "changed":
            content[where] ^= data.draw(st.integers(1, 255))
        case "cut":
            del content[where:]
    cuts = data.draw(st.sets(st.integers(0, len(plain)), min_size=2))
    ranges = tuple(Range(a, b - a) for a, b in list(pairwise(sorted(cuts)))[::2])
    (directory / "card.img.zst").write_bytes(content)
    packed, decoded = (directory / "card.img.zst").open("rb"), (directory / "plain").open("w+b")
    image_map = ImageMap(image_bytes=len(plain), ranges=ranges)
    with Source(packed, decoded, image_map).start(Source.decode) as source:
        for part in ranges:
            read, refusal = memoryview(bytearray(part.length_bytes)), ""
            try:
                source.read_into(read, part.offset_bytes)
            except ImageError as error:
                refusal = str(error)
            assert "damaged" in refusal or read == plain[part.offset_bytes : part.end_bytes]


def test_decoding_stops_when_nobody_wants_more(image: CardImage, tmp_path: Path) -> None:
    with image.packed.open("rb") as packed, (tmp_path / "plain").open("w+b") as plain:
        heard: list[int] = []
        went_on = decode_frames(
            read_frames(packed),
            [Range(0, 32 * MIB)],
            packed=packed.fileno(),
            plain=plain.fileno(),
            advance=lambda end: bool(heard.append(end)),  # type: ignore[func-returns-value]
        )
    assert not went_on
    assert heard == [4 * MIB]


def test_decoding_needs_little_memory(tmp_path: Path) -> None:
    """Of what cannot be compressed, so that packed and plain take their most."""
    plain = tmp_path / "card.img"
    plain.write_bytes(os.urandom(128 * MIB))
    program = f"""
import os
from pathlib import Path
from provisioning.flash.frames import decode_frames
from provisioning.flash.image_map import ImageMap, Range
from provisioning.seekable import read_frames

def highest_kib():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))

before = highest_kib()
os.cpu_count = lambda: 64
with open({str(compress(plain))!r}, "rb") as packed, open({str(tmp_path / "out")!r}, "w+b") as out:
    decode_frames(
        read_frames(packed),
        [Range(0, {128 * MIB})],
        packed=packed.fileno(),
        plain=out.fileno(),
        advance=lambda _: True,
    )
print(highest_kib() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert (tmp_path / "out").read_bytes() == plain.read_bytes()
    assert int(done.stdout) < 48 * 1024  # four workers, each with 4 MiB packed and 4 MiB plain


def test_an_image_of_another_map_is_refused(image: CardImage, tmp_path: Path) -> None:
    (tmp_path / "card.img").write_bytes(bytes(MIB))
    with pytest.raises(ImageError, match="another size"):
        open_source(tmp_path / "card.img", map_file=image.map_file, cache=tmp_path)


def test_an_empty_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "card.img").touch()
    with pytest.raises(ImageError, match="empty"):
        open_source(tmp_path / "card.img", cache=tmp_path)


def test_a_cache_that_cannot_be_used_is_named(image: CardImage, tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(StationError, match="--cache"):
        open_source(image.packed, cache=tmp_path / "cache")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_reader_that_dies_ends_the_wait(image: CardImage, tmp_path: Path) -> None:
    """Whatever it dies of; else every card would wait until it is given up, and be blamed."""

    def die(_: Source) -> None:
        raise ZeroDivisionError

    packed, plain = image.packed.open("rb"), (tmp_path / "plain").open("w+b")
    with Source(packed, plain, ImageMap(image_bytes=MIB, ranges=(Range(0, MIB),))) as source:
        source.start(die)
        with pytest.raises(ImageError, match="ZeroDivisionError"):
            source.read_into(memoryview(bytearray(1)), 0)


def test_the_map_is_found_as_bmaptool_finds_it(tmp_path: Path) -> None:
    for name in ("a.img.zst.bmap", "b.img.bmap", "c.bmap"):
        (tmp_path / name).touch()
    assert map_beside(tmp_path / "a.img.zst") == tmp_path / "a.img.zst.bmap"
    assert map_beside(tmp_path / "b.img.zst") == tmp_path / "b.img.bmap"
    assert map_beside(tmp_path / "c.img.zst") == tmp_path / "c.bmap"
    assert map_beside(tmp_path / "d.img.zst") is None


@pytest.mark.parametrize("name", [".", "/", "..", "", "a.", ".zst", "..zst", "x" * 300, "x" * 253])
def test_no_name_of_an_image_is_too_odd_to_have_no_map(name: str) -> None:
    assert map_beside(Path(name)) is None


@pytest.mark.parametrize(
    ("name", "words"),
    [(".", "Is a directory"), ("/", "Is a directory"), ("x" * 300, "File name too long")],
)
def test_what_is_no_image_is_refused_in_words(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=words):
        open_source(Path(name), cache=tmp_path)
