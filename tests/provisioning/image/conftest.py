"""Builds one image for all tests that look into one; what is cached is not built again."""

import os
import shutil
from pathlib import Path

import pytest

from provisioning.image.boot.fat_files import read_file, write_files
from provisioning.image.boot.partitions import read_partitions
from provisioning.image.boot.tasks import card_copy
from provisioning.image.build import build_image, default_cache
from provisioning.image.describe import Description, read_description
from provisioning.image.order import Order

_PROGRAMS = ("mmdebstrap", "genimage", "mkfs.erofs", "veritysetup", "qemu-system-aarch64", "mcopy")
_BOOT_A = 2


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
    boot = read_partitions(copy)[_BOOT_A]
    arguments = (read_file(copy, boot, "cmdline.txt") or b"").decode().strip()
    arguments += " systemd.debug_shell=ttyAMA0 systemd.log_color=no\n"
    write_files(copy, boot, {"cmdline.txt": arguments.encode()})
    return copy
