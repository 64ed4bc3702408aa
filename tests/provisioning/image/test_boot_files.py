"""What the firmware reads is there, whichever kernel the flavour takes."""

from pathlib import Path

import pytest

from provisioning.image.boot_files import gather_boot_files
from provisioning.image.errors import BuildError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Give a root as a mainline kernel leaves it."""
    tree = tmp_path / "tree"
    for name in (
        "boot/vmlinuz-6",
        "boot/initrd.img-6",
        "usr/lib/linux-image-6/broadcom/bcm2711-rpi-4-b.dtb",
        "usr/lib/linux-image-6/broadcom/bcm2710-rpi-zero-2-w.dtb",
        "usr/lib/linux-image-6/broadcom/bcm2712-rpi-5-b.dtb",
        "usr/lib/raspi-firmware/start4.elf",
        "usr/lib/raspi-firmware/LICENCE.broadcom",
    ):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(name)
    return tree


def gathered(tree: Path) -> set[str]:
    files = tree.parent / "files"
    files.mkdir()
    gather_boot_files(tree, files)
    return {str(file.relative_to(files)) for file in files.rglob("*") if file.is_file()}


def test_a_mainline_kernel_brings_the_trees_of_boards(tree: Path) -> None:
    always = {"vmlinuz", "initrd.img", "config.txt", "start4.elf"}
    assert gathered(tree) == {*always, "bcm2711-rpi-4-b.dtb"}
    config = (tree.parent / "files/config.txt").read_text()
    assert "upstream_kernel=1\n" in config
    assert "camera" not in config


def test_raspberry_pis_own_finds_its_camera_by_overlays(tree: Path) -> None:
    overlays = tree / "usr/lib/linux-image-6/overlays"
    overlays.mkdir()
    (overlays / "imx708.dtbo").write_text("the sensor")
    found = gathered(tree)
    trees = {"bcm2711-rpi-4-b.dtb", "bcm2710-rpi-zero-2-w.dtb", "bcm2712-rpi-5-b.dtb"}
    assert {*trees, "overlays/imx708.dtbo"} <= found
    config = (tree.parent / "files/config.txt").read_text()
    assert "camera_auto_detect=1\n" in config
    assert "upstream_kernel" not in config


def test_a_kernel_for_another_machine_is_refused(tree: Path) -> None:
    for file in (tree / "usr/lib/linux-image-6/broadcom").iterdir():
        file.unlink()
    with pytest.raises(BuildError, match="no device tree of a Raspberry Pi"):
        gathered(tree)
