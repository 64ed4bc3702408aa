"""A compressed image is read by every program that a technician may have, and always the same."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from provisioning.image.compress import compress
from provisioning.image.errors import BuildError
from provisioning.seekable import read_frames

MIB = 2**20


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an image of several frames, the last of them short, with a hole."""
    file = tmp_path_factory.mktemp("image") / "card.img"
    with file.open("wb") as plain:
        plain.write(os.urandom(MIB) + b"simpul" * MIB)
        plain.seek(13 * MIB)
        plain.write(os.urandom(12345))
    compress(file)
    return file


@pytest.mark.parametrize(
    "command",
    [
        ["zstd", "-dcq"],
        ["bsdcat"],  # libarchive, with which Raspberry Pi Imager reads
    ],
    ids=["zstd", "libarchive"],
)
def test_other_programs_read_it_whole(command: list[str], image: Path) -> None:
    done = subprocess.run([*command, f"{image}.zst"], check=True, capture_output=True)
    assert done.stdout == image.read_bytes()
    assert done.stderr == b""


def test_bmaptool_writes_it(image: Path, tmp_path: Path) -> None:
    map_file, card = tmp_path / "card.bmap", tmp_path / "card"
    subprocess.run(["bmaptool", "-q", "create", image, "-o", map_file], check=True)
    subprocess.run(["bmaptool", "-q", "copy", "--bmap", map_file, f"{image}.zst", card], check=True)
    assert card.read_bytes() == image.read_bytes()


def test_the_same_image_gives_the_same_bytes(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Path(f"{image}.zst").read_bytes()
    for processors in (1, 5):
        copy = shutil.copy(image, tmp_path / f"{processors}.img")
        monkeypatch.setattr(os, "cpu_count", lambda count=processors: count)
        assert compress(copy).read_bytes() == first


def test_its_frames_are_all_of_it(image: Path) -> None:
    with Path(f"{image}.zst").open("rb") as packed:
        frames = read_frames(packed)
    assert [each.plain_bytes for each in frames[:-1]] == [4 * MIB] * 3
    assert sum(each.plain_bytes for each in frames) == image.stat().st_size


def test_a_disk_that_takes_no_more_is_named(image: Path, tmp_path: Path) -> None:
    plain = shutil.copy(image, tmp_path / "card.img")
    (tmp_path / "card.img.zst").mkdir()
    with pytest.raises(BuildError, match=r"card\.img\.zst: cannot be written"):
        compress(plain)
