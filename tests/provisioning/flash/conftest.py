"""What tests of flashing share: an authority, as making one takes seconds, and a small image."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from services.card_images import MIB, CardImage, make_image
from services.flash_batches import make_authority

from provisioning.flash.source import Source, open_source


@pytest.fixture(scope="session")
def authority_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an authority and its register; to be copied only."""
    directory = tmp_path_factory.mktemp("authority")
    make_authority(directory)
    return directory


@pytest.fixture
def station_directory(authority_made: Path, tmp_path: Path) -> Path:
    """Return the test's folder, with an authority of its own in it."""
    shutil.copytree(authority_made, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> CardImage:
    """Make a small image; a module with needs of its own makes its own."""
    return make_image(tmp_path_factory.mktemp("image"), data_bytes=8 * MIB)


@pytest.fixture(scope="module")
def source(image: CardImage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    """Open it, decoded and hashed, for all cards of a module."""
    with open_source(image.packed, cache=tmp_path_factory.mktemp("cache")) as opened:
        opened.sha256()
        yield opened
