"""The machine that is measured: one root of /proc and /sys, and what is no file below it."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from node.clock import Clock
from node.health.firmware import ask_firmware
from node.health.timex import read_timex


def device_of(directory: Path) -> str:
    """Return major:minor of the device that holds `directory`. Raises OSError."""
    number = directory.stat().st_dev
    return f"{os.major(number)}:{os.minor(number)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where to look. The callables are ports to the kernel and firmware; a replay gives its own."""

    root: Path
    state_directory: Path
    clock: Clock
    device_of: Callable[[Path], str] = device_of
    statvfs: Callable[[Path], os.statvfs_result] = os.statvfs
    timex: Callable[[], bytes] = read_timex
    ask_firmware: Callable[[Path], str] = ask_firmware
