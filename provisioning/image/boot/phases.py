"""Tells a boot's phases from its console, so that the time of each can be printed."""

import re
from dataclasses import dataclass

_PHASES = (
    ("kernel", re.compile(r"Booting Linux on physical CPU")),
    ("initrd", re.compile(r"Run /init as init process|Loading, please wait")),
    ("root", re.compile(r"systemd\[1\]: systemd \S+ running in system mode|Welcome to ")),
    (
        "systemd",
        re.compile(r"systemd\[1\]: (Reached target .*basic|Started .*D-Bus)|basic\.target"),
    ),
    ("agent", re.compile(r"Start(?:ed|ing) .*[Ss]impul node agent|simpul-node\.service")),
    ("login", re.compile(r" login: ?$")),
)
TRYBOOT = re.compile(r"reboot: Restarting system with command '[^']*\btryboot\b")
POWER_OFF = re.compile(r"reboot: (?:Power down|System halted)")


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of a boot."""

    name: str
    at_s: float
    """Since the machine was started."""


def new_phases(line: str, at_s: float, seen: set[str]) -> list[Phase]:
    """Return the phases that `line` begins and `seen` does not hold yet."""
    return [
        Phase(name, at_s) for name, pattern in _PHASES if name not in seen and pattern.search(line)
    ]
