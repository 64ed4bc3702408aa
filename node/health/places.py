"""Finds the files whose name differs from board to board: sensor, disk, voltage alarm."""

import re
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

from node.errors import ReadingError
from node.health.firmware import text_of
from node.health.machine import Machine

_CPU_ZONES = ("cpu-thermal", "cpu_thermal", "x86_pkg_temp")
_NAME = re.compile(r"\{(\w+)\}")
_TEXT_BYTES_MAX = 65_536
_LAYERS_MAX = 8  # device mapper on device mapper; more is a loop


def read_text(file: Path) -> str:
    """Return the text of a small file. Raises OSError, or ReadingError when it is not UTF-8."""
    with file.open("rb", buffering=0) as stream:
        return text_of(stream.read(_TEXT_BYTES_MAX))


def find(machine: Machine, path: str) -> Path | None:
    """Return the first file below the root that fits `path`, a glob; None when there is none.

    {cpu_zone}, {disk} and {rpi_volt} in it stand for the names found on this machine.
    """
    for name in _NAME.findall(path):
        found = _FINDERS[name](machine)
        if found is None:
            return None
        path = path.replace(f"{{{name}}}", found)
    return min(machine.root.glob(path), default=None)


def cpu_zone(machine: Machine) -> str | None:
    """Return the thermal zone of the processor, by its type; thermal_zone0 where none tells."""
    zones = {
        _word(file): file.parent.name
        for file in sorted(machine.root.glob("sys/class/thermal/thermal_zone*/type"), reverse=True)
    }
    return next((zones[kind] for kind in _CPU_ZONES if kind in zones), "thermal_zone0")


def rpi_volt(machine: Machine) -> str | None:
    """Return the hwmon directory of raspberrypi-hwmon; its number depends on the probing order."""
    names = sorted(machine.root.glob("sys/class/hwmon/hwmon*/name"))
    return next((file.parent.name for file in names if _word(file) == "rpi_volt"), None)


def disk(machine: Machine) -> str | None:
    """Return the disk that holds the state directory, such as mmcblk0.

    A partition leads to its disk, a mapping (dm-crypt, LVM) to what is below it. None where no
    single disk is behind the file system (tmpfs, overlay, btrfs).
    """
    try:
        device = machine.device_of(machine.state_directory)
    except OSError:
        return None
    node = machine.root / "sys/dev/block" / device
    for _ in range(_LAYERS_MAX):
        if not node.exists():
            return None
        node = node.resolve()
        if (node / "partition").exists():
            node = node.parent
        below = sorted(node.glob("slaves/*"))
        if not below:
            return node.name
        node = below[0]
        if len(below) > 1:
            break
    return None


def _word(file: Path) -> str:
    try:
        return read_text(file).strip()
    except (OSError, ReadingError):
        return ""


_FINDERS: MappingProxyType[str, Callable[[Machine], str | None]] = MappingProxyType(
    {"cpu_zone": cpu_zone, "disk": disk, "rpi_volt": rpi_volt}
)
