"""What lies beside an image: the map, the list of packages, the descriptions."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from provisioning.image import layout
from provisioning.image.bmap import BLOCK_BYTES, split, write_bmap
from provisioning.image.compress import compress
from provisioning.image.describe import (
    Description,
    encode,
    file_of,
    imager_entry,
    read_description,
    verify,
)
from provisioning.image.errors import ImageError
from provisioning.image.sbom import Part, debian_parts, spdx

_STATUS = """\
Package: bash
Status: install ok installed
Architecture: arm64
Version: 5.2.37-2+b10
Source: bash (5.2.37-2)
Description: GNU Bourne Again SHell
 More of it: here

Package: gone
Status: deinstall ok config-files
Architecture: arm64
Version: 1

Package: tzdata
Status: install ok installed
Architecture: all
Version: 2026a-0+deb13u1
"""


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a card with our layout and little in it."""
    room = tmp_path_factory.mktemp("card")
    for name, size_mib in (("select", 16), ("boot-a", 128)):
        image = room / f"{name}.vfat"
        with image.open("wb") as out:
            out.truncate(size_mib << 20)
        subprocess.run(["mkfs.vfat", "--invariant", "-F", "32", str(image)], check=True)
    (room / "root.erofs").write_bytes(os.urandom(3 * BLOCK_BYTES))
    (room / "data.ext4").write_bytes(os.urandom(BLOCK_BYTES))
    (room / "genimage.cfg").write_text(layout.genimage_config())
    folders = {"inputpath": ".", "outputpath": "out", "tmppath": "tmp", "rootpath": "root"}
    for folder in folders.values():
        (room / folder).mkdir(exist_ok=True)
    options = [f"--{key}={room / folder}" for key, folder in folders.items()]
    subprocess.run(["genimage", f"--config={room / 'genimage.cfg'}", *options], check=True)
    return room / "out/card.img"


def test_a_card_gets_all_that_it_needs_and_bmaptool_agrees(card: Path, tmp_path: Path) -> None:
    bmap = card.with_suffix(".bmap")
    mapped_bytes = write_bmap(card, bmap)
    assert mapped_bytes < (16 + 4 + layout.DATA_MIB + 12) << 20
    copy = tmp_path / "copy.img"
    # A card that held something else before.
    copy.write_bytes(b"\xff" * card.stat().st_size)
    command = ["bmaptool", "copy", "--bmap", str(bmap), str(card), str(copy)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    table = ["sfdisk", "--json", "--quiet"]
    read = [
        json.loads(subprocess.run([*table, str(each)], check=True, capture_output=True).stdout)
        for each in (card, copy)
    ]
    parts = [
        [
            (each["start"], each["size"], each["type"])
            for each in one["partitiontable"]["partitions"]
        ]
        for one in read
    ]
    assert parts[0] == parts[1]
    assert len(parts[0]) == 7
    with card.open("rb") as one, copy.open("rb") as other:
        for start, size, kind in parts[0]:
            if kind not in {"5", "f"}:
                one.seek(start * 512)
                other.seek(start * 512)
                # The head of every partition, full or empty: nothing older is found there.
                length = min(size * 512, 1 << 20)
                assert one.read(length) == other.read(length)


def test_a_damaged_image_is_found_by_bmaptool(card: Path, tmp_path: Path) -> None:
    bmap = tmp_path / "card.bmap"
    write_bmap(card, bmap)
    damaged = tmp_path / "damaged.img"
    subprocess.run(["cp", "--sparse=always", str(card), str(damaged)], check=True)
    with damaged.open("r+b") as file:
        file.seek(1 << 20)
        file.write(b"damage")
    command = ["bmaptool", "copy", "--bmap", str(bmap), str(damaged), str(tmp_path / "copy")]
    assert subprocess.run(command, check=False, capture_output=True).returncode != 0


def test_ranges_are_split_without_a_gap() -> None:
    ranges = split([(0, 4095), (5000, 14000)])
    assert ranges == [(0, 4095), (5000, 9095), (9096, 13191), (13192, 14000)]


def test_the_list_holds_what_is_installed() -> None:
    parts = sorted(debian_parts(_STATUS))
    assert [(part.name, part.source_version) for part in parts] == [
        ("bash", "5.2.37-2"),
        ("tzdata", "2026a-0+deb13u1"),
    ]
    text = spdx([*parts, Part(kind="pypi", name="msgspec", version="0.20")], "Simpul", "ab", 0)
    document = json.loads(text)
    assert document["spdxVersion"] == "SPDX-2.3"
    assert document["creationInfo"]["created"] == "1970-01-01T00:00:00Z"
    purls = [each["externalRefs"][0]["referenceLocator"] for each in document["packages"]]
    assert purls[0] == "pkg:deb/debian/bash@5.2.37-2%2Bb10?arch=arm64"
    assert purls[2] == "pkg:pypi/msgspec@0.20"
    names = [each["SPDXID"] for each in document["packages"]]
    assert len({*names}) == len(names)


@pytest.fixture
def described(tmp_path: Path) -> Path:
    image = tmp_path / "simpul.img"
    image.write_bytes(bytes(1 << 20) + b"end")
    for name in ("simpul.bmap", "simpul.spdx.json"):
        (tmp_path / name).write_text(name)
    description = Description(
        name="simpul",
        title="Simpul 1",
        flavour="debian",
        variant="node",
        version="1.0.0",
        image_id="ab",
        agent_release="",
        boards=("pi3", "zero2w", "pi4"),
        image=file_of(image),
        compressed=file_of(compress(image)),
        bmap=file_of(tmp_path / "simpul.bmap"),
        sbom=file_of(tmp_path / "simpul.spdx.json"),
        mapped_bytes=1,
        root_bytes=1,
        disk_signature="53494d50",
        packages={},
    )
    file = tmp_path / "simpul.json"
    file.write_bytes(encode(description))
    return file


def test_an_image_is_verified_by_its_description(described: Path) -> None:
    description = read_description(described)
    assert verify(described.parent, description) == [
        "simpul.img",
        "simpul.img.zst",
        "simpul.bmap",
        "simpul.spdx.json",
    ]
    (described.parent / "simpul.img").unlink()
    assert "simpul.img" not in verify(described.parent, description)


@pytest.mark.parametrize("name", ["simpul.img", "simpul.img.zst", "simpul.bmap"])
def test_a_changed_file_is_named(described: Path, name: str) -> None:
    with (described.parent / name).open("ab") as file:
        file.write(b"x")
    with pytest.raises(ImageError, match=name):
        verify(described.parent, read_description(described))


def test_what_is_no_description_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('{"name": "a"}')
    with pytest.raises(ImageError, match="not the description of an image"):
        read_description(file)


def test_rpi_imager_is_told_what_it_needs(described: Path) -> None:
    description = read_description(described)
    entry = json.loads(imager_entry(description, "https://kota.example/", 1767225600))
    (system,) = entry["os_list"]
    assert system["url"] == "https://kota.example/simpul.img.zst"
    assert system["extract_size"] == description.image.size_bytes
    assert system["extract_sha256"] == description.image.sha256
    assert system["image_download_sha256"] == description.compressed.sha256
    assert system["release_date"] == "2026-01-01"
    assert system["devices"] == ["pi3-64bit", "pi4-64bit"]
    assert system["init_format"] == "cloudinit"
