"""The table of health measurements: a new one is a new row."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from node.health import parse
from node.health.machine import Machine
from node.health.parse import Figures
from node.health.places import find, read_text
from node.health.timex import parse_timex


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file below the root and its meaning; `path` is a glob and may hold names of places.py."""

    path: str
    parse: Callable[[str], Figures]

    def __call__(self, machine: Machine) -> Figures:
        """Return what the file says; nothing when it is not there.

        Raises OSError when it cannot be read, ReadingError when it says something undocumented.
        """
        file = find(machine, self.path)
        return {} if file is None else self.parse(read_text(file))


Origin: TypeAlias = TextFile | Callable[[Machine], Figures]
"""Somewhere to read figures from; raises as a TextFile does."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A row: the fields of messages.Health that it fills, and from where.

    The first origin that says anything is taken; the others are for boards that lack it.
    """

    fields: tuple[str, ...]
    origins: tuple[Origin, ...]


def firmware_power(machine: Machine) -> Figures:
    """Ask the firmware through /dev/vcio. Raises OSError, ReadingError."""
    device = find(machine, "dev/vcio")
    return {} if device is None else parse.parse_firmware_power(machine.ask_firmware(device))


def storage(machine: Machine) -> Figures:
    """Ask for the file system of the state directory (statvfs(3)). Raises OSError."""
    found = machine.statvfs(machine.state_directory)
    return {
        "storage_total_bytes": found.f_blocks * found.f_frsize,
        "storage_free_bytes": found.f_bavail * found.f_frsize,
        "storage_read_only": bool(found.f_flag & os.ST_RDONLY),
    }


def clock_synced(machine: Machine) -> Figures:
    """Ask the clock whether a time source disciplines it."""
    return {"clock_synced": machine.clock.synced()}


def clock_offset(machine: Machine) -> Figures:
    """Ask the kernel for the correction under way. Raises OSError, ReadingError."""
    return parse_timex(machine.timex())


TABLE: tuple[Reading, ...] = (
    Reading(("uptime_seconds",), (TextFile("proc/uptime", parse.parse_uptime),)),
    Reading(("load_1min",), (TextFile("proc/loadavg", parse.parse_load),)),
    Reading(
        ("cpu_temperature_celsius",),
        (TextFile("sys/class/thermal/{cpu_zone}/temp", parse.parse_temperature),),
    ),
    Reading(
        (
            "under_voltage_now",
            "under_voltage_since_boot",
            "frequency_capped_now",
            "frequency_capped_since_boot",
            "throttled_now",
            "throttled_since_boot",
            "temperature_limited_now",
            "temperature_limited_since_boot",
        ),
        (
            # The firmware alone remembers since boot, on every model; then Raspberry Pi's kernel
            # (it warns once in its log when it is read); then the stock kernel, voltage only.
            firmware_power,
            TextFile(
                "sys/devices/platform/soc*/soc*:firmware/get_throttled", parse.parse_kernel_power
            ),
            TextFile("sys/class/hwmon/{rpi_volt}/in0_lcrit_alarm", parse.parse_voltage_alarm),
        ),
    ),
    Reading(
        ("memory_total_bytes", "memory_available_bytes"),
        (TextFile("proc/meminfo", parse.parse_memory),),
    ),
    Reading(("storage_total_bytes", "storage_free_bytes", "storage_read_only"), (storage,)),
    Reading(
        ("storage_written_bytes",),
        (TextFile("sys/block/{disk}/stat", parse.parse_disk_written),),
    ),
    Reading(
        ("storage_life_used_percent",),
        (TextFile("sys/block/{disk}/device/life_time", parse.parse_life_time),),
    ),
    Reading(
        ("storage_worn_out_soon",),
        (TextFile("sys/block/{disk}/device/pre_eol_info", parse.parse_pre_eol),),
    ),
    Reading(("clock_synced",), (clock_synced,)),
    Reading(("clock_offset_seconds",), (clock_offset,)),
    Reading(("agent_memory_bytes",), (TextFile("proc/self/status", parse.parse_agent_memory),)),
)
