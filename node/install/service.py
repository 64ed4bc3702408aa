"""Restarts the agent and asks how it fares; the timer that takes an unconfirmed release back.

A port with two adapters: systemd on a node, and none where nothing runs, as in an image.
"""

import math
import shutil
import subprocess
import time
from pathlib import Path
from typing import Literal, Protocol

from msgspec import Struct

from node.install.errors import ServiceError

Timer = Literal["start", "confirm"]
UNIT = "simpul-node.service"
RESTART_MAX_S = 180.0  # more than the unit's own TimeoutStartSec and TimeoutStopSec
TIMERS: dict[Timer, str] = {"start": "simpul-node-revert-start", "confirm": "simpul-node-revert"}
AGAIN_S = 300.0
_ASK_TIMEOUT_S = 60
_PROPERTIES = (
    "LoadState",
    "ActiveState",
    "Result",
    "MainPID",
    "NRestarts",
    "WatchdogUSec",
    "WatchdogTimestampMonotonic",
)


class Pulse(Struct, frozen=True):
    """How the service fares at one moment.

    `silent_s` tells how long ago it last told its watchdog that it is well; None without one.
    """

    active: bool
    pid: int
    restarts: int
    silent_s: float | None
    words: str


class Service(Protocol):
    """What the installer asks of whoever runs the agent."""

    def exists(self) -> bool:
        """Tell whether there is a service at all."""

    def restart(self) -> None:
        """Restart it and return once it is ready. Raises ServiceError."""

    def stop(self) -> None:
        """Stop it. Raises ServiceError."""

    def pulse(self) -> Pulse:
        """Return how it fares. Raises ServiceError."""

    def arm(self, timer: Timer, program: Path, after_s: float) -> None:
        """Run `program install resume` after so many seconds, come what may. Raises ServiceError.

        And every few minutes from then on until it is disarmed: the first call may have failed. An
        earlier timer of that name is replaced.
        """

    def disarm(self) -> None:
        """Forget the timers, if there are any."""


class Systemd:
    """The agent as a unit of systemd(1)."""

    def exists(self) -> bool:
        """Tell whether systemd runs and knows the unit."""
        return Path("/run/systemd/system").is_dir() and self._shown()["LoadState"] == "loaded"

    def restart(self) -> None:
        """Restart the unit; of Type=notify, so this returns once it is ready."""
        done = _systemctl("restart", UNIT, timeout_s=RESTART_MAX_S)
        if done.returncode:
            raise ServiceError(f"{UNIT} did not become ready: {self.pulse().words}")

    def stop(self) -> None:
        """Stop the unit."""
        done = _systemctl("stop", UNIT, timeout_s=RESTART_MAX_S)
        if done.returncode:
            raise ServiceError(f"{UNIT} does not stop: {done.stderr.strip()}")

    def pulse(self) -> Pulse:
        """Ask systemd."""
        shown = self._shown()
        told_us = _number(shown["WatchdogTimestampMonotonic"])
        watched = shown["WatchdogUSec"] not in {"0", "infinity", ""} and told_us > 0
        return Pulse(
            active=shown["ActiveState"] == "active",
            pid=_number(shown["MainPID"]),
            restarts=_number(shown["NRestarts"]),
            silent_s=time.monotonic() - told_us / 1e6 if watched else None,
            words=f"{shown['ActiveState']}, {shown['Result']}",
        )

    def arm(self, timer: Timer, program: Path, after_s: float) -> None:
        """Set a transient timer; it is gone after a reboot, which takes the release back itself."""
        _systemctl("stop", f"{TIMERS[timer]}.timer")
        command = [_program("systemd-run"), "--quiet", "--collect", f"--unit={TIMERS[timer]}"]
        command += [f"--on-active={math.ceil(after_s)}", f"--on-unit-inactive={AGAIN_S:g}"]
        command += ["--timer-property=AccuracySec=1s"]
        done = _run([*command, str(program), "install", "resume"], _ASK_TIMEOUT_S)
        if done.returncode:
            raise ServiceError(f"no timer to take the release back: {done.stderr.strip()}")

    def disarm(self) -> None:
        """Stop the timers only: what they started may be who asks."""
        _systemctl("stop", *(f"{each}.timer" for each in TIMERS.values()))

    def _shown(self) -> dict[str, str]:
        done = _systemctl("show", f"--property={','.join(_PROPERTIES)}", UNIT)
        found = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
        if done.returncode:
            raise ServiceError(f"systemd does not answer: {done.stderr.strip()}")
        return dict.fromkeys(_PROPERTIES, "") | found


class NoService:
    """A system that is not running, or one where no agent is set up yet."""

    def exists(self) -> bool:
        """Return False."""
        return False

    def restart(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""

    def pulse(self) -> Pulse:
        """Say that nothing runs."""
        return Pulse(active=False, pid=0, restarts=0, silent_s=None, words="no service")

    def arm(self, timer: Timer, program: Path, after_s: float) -> None:
        """Do nothing."""

    def disarm(self) -> None:
        """Do nothing."""


def _systemctl(*words: str, timeout_s: float = _ASK_TIMEOUT_S) -> subprocess.CompletedProcess[str]:
    return _run([_program("systemctl"), *words], timeout_s)


def _program(name: str) -> str:
    return shutil.which(name) or f"/usr/bin/{name}"


def _run(command: list[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=timeout_s
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceError(f"{' '.join(command[:2])}: {error}") from error


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0
