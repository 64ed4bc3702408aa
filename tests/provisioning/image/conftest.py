"""Builds one image for all tests that look into one; what is cached is not built again."""

import shutil
from pathlib import Path

import pytest
from services.image_guest import SHELL_WORDS, add_words

from hil_tests.bench.image import image_for_bench
from provisioning.image.boot.tasks import card_copy
from provisioning.image.describe import Description, read_description
from provisioning.image.emulation import ensure_arm64
from provisioning.image.errors import ToolError

_PROGRAMS = ("mmdebstrap", "genimage", "mkfs.erofs", "veritysetup", "qemu-system-aarch64", "mcopy")


@pytest.fixture(scope="session")
def built() -> tuple[Path, Description]:
    """Return the folder with an image of this tree, and its description."""
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    try:
        ensure_arm64()
    except ToolError as error:
        pytest.skip(f"no image can be built here: {error}")
    image = image_for_bench(None, variant="node")
    return image.parent, read_description(image.with_suffix(".json"))


@pytest.fixture
def card(built: tuple[Path, Description], tmp_path: Path) -> Path:
    """Return a card with that image, whose serial console is a root shell."""
    folder, description = built
    copy = card_copy(folder / description.image.name, tmp_path / "card.img")
    add_words(copy, SHELL_WORDS)
    return copy
