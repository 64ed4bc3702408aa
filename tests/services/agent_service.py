"""Runs the current release's program as a process, as systemd runs the agent, for tests.

Behind the installer's own port: what it starts, asks and stops are real processes. A program says
that it is ready by creating the file that READY names.
"""

import os
import subprocess
import time
from pathlib import Path

from node.install.errors import ServiceError
from node.install.places import Places
from node.install.service import Pulse, Timer

_READY_S = 5.0


class ProcessService:
    """The agent of one root as a child of the test."""

    def __init__(self, places: Places) -> None:
        """Start nothing yet; timers are only written down, in `armed`."""
        self._places = places
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = places.home / "ready"
        self.armed: dict[Timer, tuple[Path, float]] = {}
        self.started: list[str] = []

    def exists(self) -> bool:
        """Return True."""
        return True

    def restart(self) -> None:
        """Start what is current now, and wait until it is ready."""
        self.stop()
        self._ready.unlink(missing_ok=True)
        program = self._places.current.resolve() / "bin/simpul-node"
        self.started.append(program.parents[1].name)
        try:
            self._process = subprocess.Popen(
                [str(program), "agent"], env={**os.environ, "READY": str(self._ready)}
            )
        except OSError as error:
            raise ServiceError(f"did not start: {error}") from error
        end_s = time.monotonic() + _READY_S
        while not self._ready.exists():
            if self._process.poll() is not None:
                raise ServiceError(f"did not become ready: exit status {self._process.returncode}")
            if time.monotonic() > end_s:
                raise ServiceError("did not become ready: timeout")
            time.sleep(0.01)

    def stop(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pulse(self) -> Pulse:
        """Look at the process."""
        alive = self._process is not None and self._process.poll() is None
        pid = self._process.pid if self._process else 0
        words = "active" if alive else "ended"
        return Pulse(active=alive, pid=pid, restarts=0, silent_s=None, words=words)

    def arm(self, timer: Timer, program: Path, after_s: float) -> None:
        """Write the timer down."""
        self.armed[timer] = (program, after_s)

    def disarm(self) -> None:
        """Forget the timers."""
        self.armed.clear()
