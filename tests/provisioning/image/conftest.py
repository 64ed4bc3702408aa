"""Builds one image for all tests that look into one; what is cached is not built again."""

import os
import shutil
from pathlib import Path

import pytest
from services.image_guest import SHELL_WORDS, add_words

from provisioning.image.boot.tasks import card_copy
from provisioning.image.build import build_image, default_cache
from provisioning.image.describe import Description, read_description
from provisioning.image.order import Order

_PROGRAMS = ("mmdebstrap", "genimage", "mkfs.erofs", "veritysetup", "qemu-system-aarch64", "mcopy")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Description]:
    """Return the folder with an image of this tree, and its description."""
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    if os.geteuid() != 0:
        pytest.skip("arm64 programs are registered by root")
    folder = tmp_path_factory.mktemp("images")
    order = Order(version="1.2.3", output=folder, cache=default_cache())
    return folder, read_description(build_image(order, print))


@pytest.fixture
def card(built: tuple[Path, Description], tmp_path: Path) -> Path:
    """Return a card with that image, whose serial console is a root shell."""
    folder, description = built
    copy = card_copy(folder / description.image.name, tmp_path / "card.img")
    add_words(copy, SHELL_WORDS)
    return copy
