"""Says why a device may not be written; what passes here is looked at again once it is open.

The kernel's own refusal (O_EXCL) is the last guard; these come first, and tell a person the reason.
"""

import os
import re
from pathlib import Path

from msgspec import Struct

from provisioning.flash.device import Device, names_in

SIZE_MAX_BYTES = 256 * 2**30
_BUSES = ("usb", "sd")


class Policy(Struct, frozen=True, kw_only=True):
    """What may be written: a window of sizes, and loop devices only for tests by engineers."""

    size_min_bytes: int
    size_max_bytes: int = SIZE_MAX_BYTES
    allow_loop: bool = False


def refusals(device: Device, policy: Policy, root: Path = Path("/")) -> list[str]:
    """Return every reason not to write `device`; none when it may be written."""
    reasons = []
    if device.bus == "loop":
        if not policy.allow_loop:
            reasons.append("a loop device, which is no card")
    elif not device.removable and device.bus not in _BUSES:
        reasons.append("neither removable nor on USB")
    if device.size_bytes < policy.size_min_bytes:
        reasons.append(
            f"too small: {_mib(device.size_bytes)} MiB for {_mib(policy.size_min_bytes)} MiB"
        )
    if device.size_bytes > policy.size_max_bytes:
        reasons.append(
            f"larger than any card: {_mib(device.size_bytes)} MiB; "
            "size_max_gib in station.toml allows more"
        )
    if device.read_only:
        reasons.append("write-protected")
    reasons += [f"holds {use}" for use in uses(root).get(device.name, [])]
    return reasons


def uses(root: Path = Path("/")) -> dict[str, list[str]]:
    """Return disk name -> what it holds: mounted places, swap, parts of other devices."""
    found: dict[str, list[str]] = {}
    for name, use in [*_mounts(root), *_swaps(root), *_held(root)]:
        for disk in _disks_below(root, name):
            found.setdefault(disk, []).append(use)
    return {disk: list(dict.fromkeys(each)) for disk, each in found.items()}


def _mounts(root: Path) -> list[tuple[str, str]]:
    """Return device name and place of every mount (proc(5), mountinfo)."""
    mounts = []
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        fields, source = before.split(), after.split()
        name = _name_of_number(root, fields[2])
        if not name and len(source) > 1 and source[1].startswith("/dev/"):
            # btrfs shows an invented number; its source names one of its devices.
            name = _name_of_path(root, _unescaped(source[1]))
        if name:
            mounts.append((name, _unescaped(fields[4])))
    return mounts


def _swaps(root: Path) -> list[tuple[str, str]]:
    """Return every swap device; a swap file lies on a mount."""
    paths = [_unescaped(line.split()[0]) for line in _lines(root / "proc/swaps")[1:]]
    return [(name, "swap") for path in paths if (name := _name_of_path(root, path))]


def _held(root: Path) -> list[tuple[str, str]]:
    """Return disks and partitions that are part of another device: LVM, RAID, encryption."""
    held = []
    for disk in names_in(root / "sys/block"):
        for part in ["", *names_in(root / "sys/block" / disk)]:
            holders = names_in(root / "sys/block" / disk / part / "holders")
            held += [(part or disk, f"a part of {holder}") for holder in holders]
    return held


def _disks_below(root: Path, name: str) -> set[str]:
    """Return the disks that `name` (a disk, partition or mapped device) lies on, itself too."""
    place = (root / "sys/class/block" / name).resolve()
    disk = place.parent if (place / "partition").exists() else place
    below = {disk.name.replace("!", "/")}
    for slaves in {place / "slaves", disk / "slaves"}:
        for slave in names_in(slaves):
            below |= _disks_below(root, slave)
    return below


def _name_of_number(root: Path, number: str) -> str:
    place = root / "sys/dev/block" / number
    return place.resolve().name if place.exists() else ""


def _name_of_path(root: Path, path: str) -> str:
    """Return the kernel's name of a device node, which may be a link such as /dev/mapper/x."""
    try:
        number = os.stat(path).st_rdev  # noqa: PTH116 - st_rdev of whatever the link leads to
    except OSError:
        number = 0
    by_number = _name_of_number(root, f"{os.major(number)}:{os.minor(number)}") if number else ""
    return by_number or Path(path).name


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(errors="replace").splitlines()
    except OSError:
        return []


def _mib(size_bytes: int) -> int:
    return size_bytes // 2**20
