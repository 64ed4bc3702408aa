"""One authority for all tests of flashing: making one takes seconds, on purpose."""

import shutil
from pathlib import Path

import pytest
from services.flash_batches import make_authority


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
