"""Partitions are found as sfdisk finds them, and as soon as their tables are decoded."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.card_images import MIB, CardImage, make_image, make_image_without_fat

from provisioning.flash.errors import ImageError
from provisioning.flash.fat import find_fat
from provisioning.flash.image_map import read_map, whole_map
from provisioning.flash.partitions import partitions
from provisioning.flash.source import Source, open_source

TABLES = {
    "primary": "label: dos\nstart=1MiB, size=4MiB, type=c\nstart=5MiB, size=8MiB, type=83\n",
    "a hole in the table": "label: dos\n2: start=1MiB, size=4MiB, type=c\n",
    "logical": (
        "label: dos\nstart=1MiB, size=4MiB, type=c\nstart=5MiB, size=4MiB, type=c\n"
        "start=9MiB, size=20MiB, type=f\nstart=30MiB, size=1MiB, type=83\n"
        "start=10MiB, size=4MiB, type=83\nstart=15MiB, size=4MiB, type=83\n"
        "start=20MiB, size=4MiB, type=c\n"
    ),
    "gpt": (
        "label: gpt\nstart=1MiB, size=4MiB, type=U\n3: start=6MiB, size=4MiB, type=L\n"
        "start=12MiB, size=4MiB, type=L\n"
    ),
    "nothing": "label: dos\n",
}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> CardImage:
    return make_image(tmp_path_factory.mktemp("image"), data_bytes=8 * MIB)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rubbish")


def divided(file: Path, table: str) -> Path:
    with file.open("xb") as made:
        made.truncate(32 * MIB)
    subprocess.run(["sfdisk", "--quiet", str(file)], input=table, text=True, check=True)
    return file


@contextmanager
def read_whole(file: Path) -> Iterator[Source]:
    with Source(file.open("rb"), file.open("rb"), whole_map(file.stat().st_size)) as source:
        source.advance()
        yield source


@pytest.mark.parametrize("name", TABLES)
def test_they_are_those_that_sfdisk_finds(name: str, tmp_path: Path) -> None:
    file = divided(tmp_path / "card", TABLES[name])
    said = subprocess.run(["sfdisk", "--json", str(file)], check=True, capture_output=True)
    listed = json.loads(said.stdout)["partitiontable"].get("partitions", [])
    wanted = [(each["start"], each["size"]) for each in listed if each["type"] != "f"]
    with read_whole(file) as source:
        found = [(each.offset_bytes, each.length_bytes) for each in partitions(source)]
    assert found == [(start * 512, size * 512) for start, size in wanted]


def test_a_damaged_gpt_is_refused(tmp_path: Path) -> None:
    file = divided(tmp_path / "card", TABLES["gpt"])
    with file.open("r+b") as card:
        card.seek(2 * 512 + 40)
        card.write(b"\x55")
    with read_whole(file) as source, pytest.raises(ImageError, match="damaged"):
        list(partitions(source))


def test_a_file_system_without_a_table_is_refused(tmp_path: Path) -> None:
    """The boot sector of a FAT ends as a table does; before that it has code and its messages."""
    file = tmp_path / "card"
    subprocess.run(["mkfs.vfat", "-C", str(file), "8192"], check=True, capture_output=True)
    with file.open("r+b") as card:
        card.seek(446)
        card.write(b"Non-System disk or disk error")
    with read_whole(file) as source, pytest.raises(ImageError, match="no partition table"):
        list(partitions(source))


def test_logical_partitions_that_point_in_a_circle_come_to_an_end(tmp_path: Path) -> None:
    file = divided(tmp_path / "card", TABLES["logical"])
    with file.open("r+b") as card:
        card.seek(9 * MIB + 446 + 16 + 8)
        card.write(bytes(4))  # the next record is this one
    with read_whole(file) as source:
        assert len(list(partitions(source))) < 100


@given(rubbish=st.binary(max_size=2048), end=st.sampled_from((b"", b"\x55\xaa")))
def test_nothing_but_an_image_error_comes_of_rubbish(
    rubbish: bytes, end: bytes, directory: Path
) -> None:
    file = directory / "card"
    file.write_bytes(rubbish[:510].ljust(510, b"\0") + end + rubbish[510:] + bytes(4096))
    with read_whole(file) as source, contextlib.suppress(ImageError):
        find_fat(source)


def test_the_seed_s_place_is_known_before_the_rest_is_decoded(image: CardImage) -> None:
    packed, plain = image.packed.open("rb"), image.plain.open("rb")
    with Source(packed, plain, read_map(image.map_file)) as source, ThreadPoolExecutor(1) as pool:
        source.advance(4 * MIB + 512)  # the boot sector of the first partition
        found = pool.submit(find_fat, source)
        try:
            assert found.result(timeout=30).offset_bytes == 4 * MIB
        finally:
            source.fail(ImageError("the test has ended"))


def test_an_image_without_a_fat_is_refused_in_words(tmp_path: Path) -> None:
    image = make_image_without_fat(tmp_path)
    with (
        open_source(image.packed, cache=tmp_path / "cache") as source,
        pytest.raises(ImageError, match=r"no FAT labelled SIMPUL .* no FAT at all"),
    ):
        find_fat(source)
