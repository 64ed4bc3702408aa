"""Gathers what the Raspberry Pi's firmware reads from a boot partition: kernel, trees, config.txt.

Debian's kernel is a mainline one: its device trees are those of boards, and describe no camera.
Raspberry Pi's own brings overlays, by which the firmware adds the sensor that it finds, and names
its trees otherwise. Source: the Raspberry Pi documentation, config.txt and device trees.
"""

import shutil
from pathlib import Path

from provisioning.image.errors import BuildError

_MAINLINE_TREES = (
    "bcm2711-rpi-4-b",
    "bcm2711-rpi-400",
    "bcm2711-rpi-cm4-io",
    "bcm2837-rpi-3-a-plus",
    "bcm2837-rpi-3-b",
    "bcm2837-rpi-3-b-plus",
    "bcm2837-rpi-cm3-io3",
    "bcm2837-rpi-zero-2-w",
)
_CONFIG = """\
# Read by the Raspberry Pi's firmware: https://www.raspberrypi.com/documentation/computers/config_txt.html
arm_64bit=1
{kernel}
kernel=vmlinuz
initramfs initrd.img followkernel
cmdline=cmdline.txt
disable_splash=1
enable_uart=1
gpu_mem=64
"""


def gather_boot_files(tree: Path, files: Path) -> None:
    """Copy from an unpacked root (boot, kernel, firmware) what the firmware reads into `files`.

    Raises BuildError when the root has not just one kernel, or no tree for a board.
    """
    for pattern, name in (("vmlinuz-*", "vmlinuz"), ("initrd.img-*", "initrd.img")):
        shutil.copyfile(only(tree / "boot", pattern), files / name)
    kernel = only(tree / "usr/lib", "linux-image-*")
    overlays = kernel / "overlays"
    if overlays.is_dir():
        words = "camera_auto_detect=1"
        shutil.copytree(overlays, files / "overlays")
        trees = sorted((kernel / "broadcom").glob("bcm27*.dtb"))
    else:
        words = "upstream_kernel=1"
        named = (kernel / f"broadcom/{name}.dtb" for name in _MAINLINE_TREES)
        trees = [file for file in named if file.exists()]
    if not trees:
        raise BuildError(f"{kernel}: no device tree of a Raspberry Pi; is it another kernel?")
    firmware = [
        file
        for file in sorted((tree / "usr/lib/raspi-firmware").glob("*"))
        if file.is_file() and not file.name.startswith(("LICENCE", "README"))
    ]
    for file in (*trees, *firmware):
        shutil.copyfile(file, files / file.name)
    (files / "config.txt").write_text(_CONFIG.format(kernel=words))


def only(folder: Path, pattern: str) -> Path:
    """Return the one file or folder of this pattern. Raises BuildError."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise BuildError(f"{folder}: {len(found)} of {pattern}, where there has to be one")
    return found[0]
