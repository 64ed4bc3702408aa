"""Takes the decision that the Raspberry Pi's firmware takes: which partition, which files.

QEMU emulates no Pi firmware. What is emulated here is documented behaviour only; what a board does
with a damaged card beyond that is shown on a board or not at all.
"""

from dataclasses import dataclass
from pathlib import Path

from provisioning.image.boot.autoboot import parse_autoboot
from provisioning.image.boot.errors import CardError
from provisioning.image.boot.fat_files import copy_file, read_file
from provisioning.image.boot.partitions import Partition, read_partitions

_BOOT_SELECT = 1
_FAT_KINDS = {0x01, 0x04, 0x06, 0x0B, 0x0C, 0x0E}
_PRIMARY_MAX = 4


@dataclass(frozen=True, slots=True)
class Decision:
    """What the firmware boots."""

    partition: Partition
    config: bytes
    tryboot: bool


@dataclass(frozen=True, slots=True)
class BootFiles:
    """What the firmware loads, copied out of the chosen partition."""

    kernel: Path
    initrd: Path | None
    dtb: Path | None
    cmdline: str


def decide(image: Path, *, tryboot: bool = False) -> Decision:
    """Return what the firmware boots from `image`. Raises CardError when it finds nothing."""
    partitions = read_partitions(image)
    fats = [partitions[n] for n in range(1, _PRIMARY_MAX + 1) if _is_fat(partitions.get(n))]
    asked = parse_autoboot(b"", tryboot=tryboot)
    if _is_fat(partitions.get(_BOOT_SELECT)):
        text = read_file(image, partitions[_BOOT_SELECT], "autoboot.txt") or b""
        asked = parse_autoboot(text, tryboot=tryboot)
    name = "config.txt" if asked.tryboot_a_b or not tryboot else "tryboot.txt"
    # A partition that cannot be booted is passed over for the first one that can.
    for partition in [f for f in fats if f.number == asked.boot_partition] + fats:
        config = read_file(image, partition, name)
        if config is not None:
            return Decision(partition, config, tryboot)
    raise CardError(f"{image}: no FAT partition holds {name}: the firmware would stop here")


def copy_boot_files(image: Path, decision: Decision, into: Path, dtb_name: str = "") -> BootFiles:
    """Copy what `decision` loads into the folder `into`. Raises CardError naming what is missing.

    `dtb_name` is the board's device tree; empty for a machine that brings its own.
    """
    settings = _settings(decision.config)

    def copy(name: str) -> Path:
        return copy_file(image, decision.partition, name, into / Path(name).name)

    # The words after the initramfs name say where in memory it goes.
    initrd = settings.get("initramfs", "").split()
    cmdline = read_file(image, decision.partition, settings.get("cmdline", "cmdline.txt"))
    return BootFiles(
        kernel=copy(settings.get("kernel", "kernel8.img")),
        initrd=copy(initrd[0]) if initrd else None,
        dtb=copy(dtb_name) if dtb_name else None,
        cmdline=(cmdline or b"").decode("ascii", "replace").partition("\n")[0].strip(),
    )


def _is_fat(partition: Partition | None) -> bool:
    return partition is not None and partition.kind in _FAT_KINDS


def _settings(config: bytes) -> dict[str, str]:
    """Return the settings of config.txt that hold on every board: under no filter or [all]."""
    settings: dict[str, str] = {}
    applies = True
    for raw in config.decode("utf-8", "replace").splitlines():
        line = raw.partition("#")[0].strip()
        if line.startswith("["):
            applies = line == "[all]"
        elif applies and line.startswith("initramfs "):
            settings["initramfs"] = line.removeprefix("initramfs ").strip()
        elif applies and "=" in line:
            key, _, value = line.partition("=")
            settings[key.strip()] = value.strip()
    return settings
