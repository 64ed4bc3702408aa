"""Measures what a stretch of work costs: time, processors, memory, and bytes on the loopback."""

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Spent:
    """Time; CPU of those asked about, and of all others on the machine; bytes on the loopback."""

    wall_s: float
    cpu_s: float
    other_cpu_s: float
    wire_bytes: int


class Meter:
    """Measures from its making on; `who` as of getrusage(2): this process, or its children."""

    def __init__(self, who: int) -> None:
        """Start."""
        self._who = who
        self._begun_s = time.monotonic()
        self._cpu_s = cpu_s(who)
        self._busy_s = busy_s()
        self._wire_bytes = _loopback_bytes()

    def read(self) -> Spent:
        """Return what was spent until now."""
        used_s = cpu_s(self._who) - self._cpu_s
        return Spent(
            wall_s=time.monotonic() - self._begun_s,
            cpu_s=used_s,
            other_cpu_s=max(busy_s() - self._busy_s - used_s, 0.0),
            wire_bytes=_loopback_bytes() - self._wire_bytes,
        )


def cpu_s(who: int) -> float:
    """Return the CPU time that `who` (getrusage(2)) used so far."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def busy_s() -> float:
    """Return what all processors together have worked since the boot (proc_stat(5))."""
    times = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq = times[:7]
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def highest_kib(pid: int) -> int:
    """Return the most memory that a process held since it was executed; 0 once it has ended.

    wait4(2) counts what the process was before its execve(2) as well.
    """
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0


def _loopback_bytes() -> int:
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == "lo":
            return int(counts.split()[0])
    return 0
