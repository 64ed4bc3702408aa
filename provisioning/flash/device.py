"""Says what the block devices of this machine are, as sysfs tells it; opens none of them.

Source: the kernel's Documentation/ABI/stable/sysfs-block and testing/sysfs-block (diskseq).
"""

import re
from pathlib import Path
from typing import Literal

from msgspec import Struct

Bus = Literal["usb", "sd", "loop", "other"]
_SECTOR_BYTES = 512  # /sys/block/*/size counts these, whatever the device's own sectors are
_USB_PORT = re.compile(r"\d+-\d+(?:\.\d+)*")
_LUN = re.compile(r"\d+:\d+:\d+:(\d+)")


class Device(Struct, frozen=True, kw_only=True):
    """A whole disk. `number` is major:minor; `port` is the USB port path with the reader's LUN.

    `disk_sequence` is unique to one medium in one drive until the next boot (0 on old kernels).
    """

    name: str
    number: str
    bus: Bus
    port: str = ""
    model: str = ""
    serial: str = ""
    size_bytes: int = 0
    disk_sequence: int = 0
    removable: bool = False
    read_only: bool = False

    @property
    def path(self) -> str:
        """Return the device node, or the file for one that is none."""
        return self.name if self.name.startswith("/") else f"/dev/{self.name}"

    @property
    def token(self) -> str:
        """Return what a person types to name this very device: name, and the end of its serial."""
        return f"{self.name}:{Path(self.serial or self.port or self.number).stem[-4:]}"


def list_devices(root: Path = Path("/")) -> list[Device]:
    """Return every disk that has a medium, ordered by where it is plugged in."""
    folder = root / "sys/block"
    found = [_device(folder / name) for name in names_in(folder)]
    present = [each for each in found if each.size_bytes]
    return sorted(present, key=lambda each: (_numbers(each.port), _numbers(each.name)))


def names_in(folder: Path) -> list[str]:
    """Return what a folder of sysfs holds, sorted; nothing once its device has been pulled out."""
    try:
        return sorted(each.name for each in folder.iterdir())
    except OSError:
        return []


def _device(entry: Path) -> Device:
    place = entry.resolve()
    bus = _bus(place)
    return Device(
        name=entry.name.replace("!", "/"),
        number=_text(place / "dev"),
        bus=bus,
        port=_port(place),
        model=" ".join(
            filter(None, (_text(place / "device" / each) for each in ("vendor", "model", "name")))
        ),
        serial=_serial(place, bus),
        size_bytes=_integer(place / "size") * _SECTOR_BYTES,
        disk_sequence=_integer(place / "diskseq"),
        removable=_text(place / "removable") == "1",
        read_only=_text(place / "ro") == "1",
    )


def _bus(place: Path) -> Bus:
    if place.name.startswith("loop"):
        return "loop"
    if any(re.fullmatch(r"usb\d+", part) for part in place.parts):
        return "usb"
    if _text(place / "device/type") == "SD":
        return "sd"
    return "other"


def _port(place: Path) -> str:
    ports = [part for part in place.parts if _USB_PORT.fullmatch(part)]
    if not ports:
        return place.name
    luns = [match[1] for part in place.parts if (match := _LUN.fullmatch(part))]
    return f"{ports[-1]}:{luns[-1]}" if luns else ports[-1]


def _serial(place: Path, bus: Bus) -> str:
    if bus == "usb":
        for folder in place.parents:
            if _USB_PORT.fullmatch(folder.name):
                return _text(folder / "serial")
    if bus == "loop":
        return _text(place / "loop/backing_file")
    return _text(place / "device/serial")


def _numbers(text: str) -> list[tuple[int, str]]:
    """Return a key that sorts 1-10 after 1-9."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", text)]


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""  # not every kind of disk has every attribute


def _integer(file: Path) -> int:
    text = _text(file)
    return int(text) if text.isdigit() else 0
