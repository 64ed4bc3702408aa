"""Turns what the kernel and the firmware print into figures of messages.Health; pure, no I/O.

Every function takes the whole text and returns the fields that it found. Each raises ReadingError
when the text is not what its source documents; none raises anything else.
"""

import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

from node.errors import ReadingError

Value: TypeAlias = float | int | bool | None
Figures: TypeAlias = Mapping[str, Value]

_SECTOR_BYTES = 512  # of /sys/block/*/stat, whatever the disk's own sectors are
_WHOLE_MAX = 2**63 - 1  # what JSON readers and databases hold
_ABSOLUTE_ZERO_MILLIDEGREES = -273_150
_SILICON_MAX_MILLIDEGREES = 1_000_000
_LIFE_TIME_MAX = 0x0B
_PRE_EOL = MappingProxyType({1: False, 2: True, 3: True})
_POWER_BITS = ("under_voltage", "frequency_capped", "throttled", "temperature_limited")
_SINCE_BOOT_SHIFT = 16
_STAT_COLUMNS_MIN = 11
_WRITTEN_COLUMN = 6
_SHOWN_MAX = 60  # of a bad text in an error; escapes make it longer
_MEMORY_LINE = re.compile(r"(MemTotal|MemAvailable): +([0-9]+) kB", re.ASCII)
_RESIDENT_LINE = re.compile(r"^VmRSS:\s+([0-9]+) kB$", re.MULTILINE | re.ASCII)
_MEMORY_FIELDS = MappingProxyType(
    {"MemTotal": "memory_total_bytes", "MemAvailable": "memory_available_bytes"}
)


def parse_uptime(text: str) -> Figures:
    """Read /proc/uptime (proc_uptime(5)): seconds since boot, then idle seconds."""
    return {"uptime_seconds": _decimal(_column(text, 0, columns=2))}


def parse_load(text: str) -> Figures:
    """Read /proc/loadavg (proc_loadavg(5)): averages of 1, 5 and 15 minutes, tasks, last id."""
    return {"load_1min": _decimal(_column(text, 0, columns=5))}


def parse_memory(text: str) -> Figures:
    """Read /proc/meminfo (proc_meminfo(5)); its kB are 1024 bytes."""
    figures: dict[str, Value] = {}
    for line in text.splitlines():
        if match := _MEMORY_LINE.fullmatch(line):
            figures[_MEMORY_FIELDS[match[1]]] = _whole(match[2], times=1024)
    if not figures:
        raise ReadingError(f"no line MemTotal or MemAvailable in kB in {_shown(text)}")
    return figures


def parse_agent_memory(text: str) -> Figures:
    """Read VmRSS of /proc/self/status (proc_pid_status(5)); its kB are 1024 bytes."""
    match = _RESIDENT_LINE.search(text)
    if not match:
        raise ReadingError(f"no line VmRSS in kB in {_shown(text)}")
    return {"agent_memory_bytes": _whole(match[1], times=1024)}


def parse_temperature(text: str) -> Figures:
    """Read thermal_zone*/temp (kernel's sysfs-class-thermal): thousandths of a degree Celsius.

    A zone without a reading prints -274000, below the absolute zero: that is an error here.
    """
    word = _column(text, 0, columns=1)
    sign = -1 if word.startswith("-") else 1
    millidegrees = sign * _whole(word.removeprefix("-"))
    if not _ABSOLUTE_ZERO_MILLIDEGREES <= millidegrees <= _SILICON_MAX_MILLIDEGREES:
        raise ReadingError(f"{millidegrees} thousandths of a degree cannot be")
    return {"cpu_temperature_celsius": millidegrees / 1000}


def parse_firmware_power(text: str) -> Figures:
    """Read the firmware's answer to get_throttled, "throttled=0x50005".

    Bits 0 to 3 are the present state and bits 16 to 19 the same since boot (Raspberry Pi
    documentation, vcgencmd).
    """
    before, separator, digits = text.rstrip("\n").partition("throttled=0x")
    if before or not separator:
        raise ReadingError(f"expected throttled=0x..., got {_shown(text)}")
    bits = _hexadecimal(digits)
    return {
        **{f"{name}_now": bool(bits >> at & 1) for at, name in enumerate(_POWER_BITS)},
        **{
            f"{name}_since_boot": bool(bits >> at + _SINCE_BOOT_SHIFT & 1)
            for at, name in enumerate(_POWER_BITS)
        },
    }


def parse_kernel_power(text: str) -> Figures:
    """Read get_throttled of Raspberry Pi's kernel (drivers/firmware/raspberrypi.c): "50005".

    The kernel asks the firmware every two seconds and clears bits 16 to 19 as it asks. So a set bit
    proves that something has been since boot; a clear one proves nothing, and is left out.
    """
    bits = _hexadecimal(text.rstrip("\n"))
    figures: dict[str, Value] = {}
    for at, name in enumerate(_POWER_BITS):
        figures[f"{name}_now"] = bool(bits >> at & 1)
        if bits >> at & 1 or bits >> at + _SINCE_BOOT_SHIFT & 1:
            figures[f"{name}_since_boot"] = True
    return figures


def parse_voltage_alarm(text: str) -> Figures:
    """Read in0_lcrit_alarm of the kernel's raspberrypi-hwmon: 1 while the voltage is too low.

    It covers the last two seconds only, so 0 says nothing of the time since boot.
    """
    word = _column(text, 0, columns=1)
    if word not in {"0", "1"}:
        raise ReadingError(f"expected 0 or 1, got {_shown(text)}")
    if word == "1":
        return {"under_voltage_now": True, "under_voltage_since_boot": True}
    return {"under_voltage_now": False}


def parse_disk_written(text: str) -> Figures:
    """Read /sys/block/<disk>/stat (kernel's block/stat): column 7, sectors of 512 bytes written."""
    return {
        "storage_written_bytes": _whole(
            _column(text, _WRITTEN_COLUMN, columns=_STAT_COLUMNS_MIN), times=_SECTOR_BYTES
        )
    }


def parse_life_time(text: str) -> Figures:
    """Read life_time of an eMMC (JEDEC eMMC 5.0, EXT_CSD 268 and 269): estimates A and B.

    It looks as "0x01 0x02". 1 stands for 0 to 10 % of the life used, 10 for 90 to 100 %, 11 for
    more; 0 for not told. The worse of both counts, and the upper end of its step.
    """
    estimates = [_byte(_column(text, at, columns=2)) for at in (0, 1)]
    if max(estimates) > _LIFE_TIME_MAX:
        raise ReadingError(f"estimates reach from 0x00 to 0x0b, got {_shown(text)}")
    return {"storage_life_used_percent": max(estimates) * 10} if any(estimates) else {}


def parse_pre_eol(text: str) -> Figures:
    """Read pre_eol_info of an eMMC (JEDEC eMMC 5.0, EXT_CSD 267): 1 normal, 2 warning, 3 urgent."""
    level = _byte(_column(text, 0, columns=1))
    if level == 0:
        return {}
    if level not in _PRE_EOL:
        raise ReadingError(f"levels reach from 0x00 to 0x03, got {_shown(text)}")
    return {"storage_worn_out_soon": _PRE_EOL[level]}


def _column(text: str, at: int, *, columns: int) -> str:
    words = text.split()
    if len(words) < columns:
        raise ReadingError(f"expected {columns} columns, got {_shown(text)}")
    return words[at]


def _whole(word: str, *, times: int = 1) -> int:
    if not re.fullmatch(r"[0-9]{1,19}", word) or (value := int(word) * times) > _WHOLE_MAX:
        raise ReadingError(f"expected a whole number, got {_shown(word)}")
    return value


def _decimal(word: str) -> float:
    if not re.fullmatch(r"[0-9]{1,15}\.[0-9]{1,9}", word) or not math.isfinite(float(word)):
        raise ReadingError(f"expected a decimal number, got {_shown(word)}")
    return float(word)


def _hexadecimal(word: str) -> int:
    if not re.fullmatch(r"[0-9a-f]{1,8}", word):
        raise ReadingError(f"expected up to 8 hexadecimal digits, got {_shown(word)}")
    return int(word, 16)


def _byte(word: str) -> int:
    if not re.fullmatch(r"0x[0-9a-f]{2}", word):
        raise ReadingError(f"expected a byte such as 0x01, got {_shown(word)}")
    return int(word, 16)


def _shown(text: str) -> str:
    return repr(text[:_SHOWN_MAX])[:_SHOWN_MAX]
