"""Judges whether the agent of a system on trial is well: it runs, and goes on running.

What more a healthy node does is for the controller to see; a trial that the controller wants undone
it undoes by a plain reboot before the confirmation, or by an older bundle's successor after it.
"""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

AGENT = "simpul-node.service"
_PROPERTIES = "ActiveState,SubState,MainPID,NRestarts,Result"
_LOOK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Pulse:
    """How the agent fares at one moment."""

    active: bool
    pid: int
    restarts: int
    words: str


def parse_pulse(text: str) -> Pulse:
    """Return what `systemctl show` said; anything missing counts against the agent."""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    words = "/".join(values.get(key, "?") for key in ("ActiveState", "SubState", "Result"))
    return Pulse(
        active=values.get("ActiveState") == "active",
        pid=_number(values.get("MainPID", "")),
        restarts=_number(values.get("NRestarts", "")),
        words=words,
    )


def agent_pulse() -> Pulse:
    """Ask systemd how the agent fares."""
    command = ["systemctl", "show", f"--property={_PROPERTIES}", AGENT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return parse_pulse(done.stdout)


def wait_well(
    look: Callable[[], Pulse],
    *,
    soak_seconds: float,
    patience_seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Return an empty string once the agent ran `soak_seconds` without a restart.

    After `patience_seconds` return what is wrong instead.
    """
    end = clock() + patience_seconds
    first, since = look(), clock()
    while True:
        now = look()
        if not now.active or (now.pid, now.restarts) != (first.pid, first.restarts):
            first, since = now, clock()
        elif clock() - since >= soak_seconds:
            return ""
        if clock() >= end:
            times = f", restarted {now.restarts} times" if now.restarts else ""
            return f"the agent is {now.words}{times}, {patience_seconds:.0f} s after the first look"
        sleep(_LOOK_SECONDS)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
