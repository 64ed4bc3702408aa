"""Decoded images that are kept: only our own are touched, and none that is bad stays in the way."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from services.card_images import MIB, CardImage, make_image

from provisioning.flash.errors import ImageError, StationError
from provisioning.flash.fat import find_fat
from provisioning.flash.kept import new_file
from provisioning.flash.source import Source, open_source

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> CardImage:
    return make_image(tmp_path_factory.mktemp("image"), size_bytes=32 * MIB, data_bytes=6 * MIB)


@pytest.fixture
def kept(image: CardImage, tmp_path: Path) -> Path:
    """Return the one image that is kept, in a folder of its own."""
    cache = tmp_path / "cache"
    with open_source(image.packed, cache=cache) as source:
        source.sha256()
        source.trust()
    (file,) = cache.iterdir()
    return file


def assert_decoded_anew(image: CardImage, cache: Path) -> None:
    with open_source(image.packed, cache=cache) as source:
        assert not source.is_kept
        assert_whole(source)
        source.trust()


def assert_whole(source: Source) -> None:
    assert all(source.is_intact(part) for part in source.map.ranges)


def aged(file: Path, seconds: int) -> Path:
    file.touch()
    os.utime(file, (seconds, seconds))
    return file


def test_only_the_newest_are_kept(image: CardImage, tmp_path: Path) -> None:
    old = [aged(tmp_path / f"{number:064x}.img", number) for number in range(3)]
    with open_source(image.packed, cache=tmp_path) as source:
        source.sha256()
        source.trust()
    assert len(list(tmp_path.iterdir())) == 2
    assert old[2].exists()


def test_files_of_others_stay(image: CardImage, tmp_path: Path) -> None:
    """The folder may be somebody's own, with images and what else he has in it."""
    theirs = {aged(tmp_path / f"raspios-{number}.img", number) for number in range(4)}
    theirs.add(aged(tmp_path / f"{'A' * 64}.img", 1))
    theirs.add(aged(tmp_path / f"{'a' * 64}.img.part", 1))
    with open_source(image.packed, cache=tmp_path) as source:
        source.sha256()
        source.trust()
    assert theirs < {*tmp_path.iterdir()}


def test_what_can_be_neither_looked_at_nor_removed_stays(image: CardImage, tmp_path: Path) -> None:
    """A verified card must not want its verdict because of an old file."""
    nowhere = tmp_path / f"{1:064x}.img"
    nowhere.symlink_to(tmp_path / "nowhere")
    folders = [tmp_path / f"{number:064x}.img" for number in range(2, 5)]
    for folder in folders:
        folder.mkdir()
    with open_source(image.packed, cache=tmp_path) as source:
        source.sha256()
        source.trust()
        assert source.is_kept
    assert all(folder.is_dir() for folder in folders)


@pytest.mark.parametrize("size", [0, 20 * MIB, 33 * MIB])
def test_a_kept_image_of_another_size_is_decoded_anew(
    size: int, image: CardImage, kept: Path
) -> None:
    os.truncate(kept, size)
    assert_decoded_anew(image, kept.parent)
    with open_source(image.packed, cache=kept.parent) as source:
        assert source.is_kept
        assert_whole(source)


def test_a_folder_in_its_place_is_passed_over(image: CardImage, kept: Path) -> None:
    kept.unlink()
    kept.mkdir()
    assert_decoded_anew(image, kept.parent)
    assert kept.is_dir()


def without_privileges(program: str) -> str:
    """Run a program as one who owns its files and has no other right; return what it says."""
    words = [sys.executable, "-c", program]
    if os.geteuid() == 0:
        rights = "-dac_override,-dac_read_search,-fowner"
        words = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}", *words]
    done = subprocess.run(
        words, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ROOT}
    )
    return done.stdout


needs_setpriv = pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None, reason="setpriv is not installed"
)


@needs_setpriv
def test_a_kept_image_that_cannot_be_read_is_decoded_anew(image: CardImage, kept: Path) -> None:
    kept.chmod(0)
    said = without_privileges(f"""
from pathlib import Path
from provisioning.flash.source import open_source
with open_source(Path({str(image.packed)!r}), cache=Path({str(kept.parent)!r})) as source:
    print(source.is_kept, all(source.is_intact(part) for part in source.map.ranges))
""")
    assert said == "False True\n"
    assert not kept.exists()


@needs_setpriv
@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_kept_image_of_somebody_else_is_used(image: CardImage, kept: Path) -> None:
    kept.chmod(0o444)
    os.chown(kept, 65534, 65534)
    said = without_privileges(f"""
from pathlib import Path
from provisioning.flash.source import open_source
with open_source(Path({str(image.packed)!r}), cache=Path({str(kept.parent)!r})) as source:
    print(source.is_kept)
""")
    assert said == "True\n"


@needs_setpriv
def test_an_image_in_a_closed_folder_is_refused_in_words(image: CardImage, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    shutil.copy(image.packed, closed / "card.img.zst")
    closed.chmod(0)
    said = without_privileges(f"""
from pathlib import Path
from provisioning.flash.errors import ImageError
from provisioning.flash.source import open_source
try:
    open_source(Path({str(closed / "card.img.zst")!r}), cache=Path({str(tmp_path)!r}))
except ImageError as error:
    print(error)
""")
    closed.chmod(0o700)
    assert said == f"{closed}/card.img.zst: Permission denied; name the image's file\n"


def test_an_image_larger_than_any_file_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(StationError, match="File too large"):
        new_file(tmp_path, 2**62, needed_bytes=MIB)


def test_a_kept_image_that_shrinks_while_it_is_used_is_blamed_alone(
    image: CardImage, kept: Path
) -> None:
    with open_source(image.packed, cache=kept.parent) as source:
        os.truncate(kept, MIB)
        with pytest.raises(ImageError, match="only a decoded copy: flash again") as raised:
            assert_whole(source)
    assert str(kept) in str(raised.value)
    assert not kept.exists()


def test_a_kept_image_with_a_rotten_table_is_blamed_alone(image: CardImage, kept: Path) -> None:
    """Its partitions are looked at before anything is compared with the map."""
    with kept.open("r+b") as file:
        file.seek(440)
        file.write(bytes(72))
    with (
        open_source(image.packed, cache=kept.parent) as source,
        pytest.raises(ImageError, match=r"damaged between byte 0 and .* flash again"),
    ):
        find_fat(source)
    assert not kept.exists()
    assert_decoded_anew(image, kept.parent)
