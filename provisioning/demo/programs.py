"""Starts the programs of the demonstration and leaves none of them behind."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from provisioning.errors import DemoError

_PR_SET_PDEATHSIG = 1  # prctl(2)
_STOP_SECONDS = 6.0
_LOG_TAIL_LINES = 8


class Program(Struct, frozen=True):
    """A running program and where it logs."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


def start(name: str, command: Sequence[str], directory: Path) -> Program:
    """Start a program in its own session, its output in a log file of `directory`."""
    log = directory / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - no threads run yet
        )
    return Program(name, process, log)


def require_running(programs: Sequence[Program]) -> None:
    """Raise DemoError, with the end of its log, when one of the programs has ended."""
    for program in programs:
        status = program.process.poll()
        if status is not None:
            tail = program.log.read_text(encoding="utf-8", errors="replace").splitlines()
            lines = "\n  ".join(tail[-_LOG_TAIL_LINES:])
            raise DemoError(f"{program.name} ended with status {status}:\n  {lines}")


def stop_all(programs: Sequence[Program]) -> None:
    """End every program, the last one started first: politely, then by force."""
    for program in reversed(programs):
        _signal(program, signal.SIGTERM)
    end_mono = time.monotonic() + _STOP_SECONDS
    for program in reversed(programs):
        try:
            program.process.wait(max(0.0, end_mono - time.monotonic()))
        except subprocess.TimeoutExpired:
            _signal(program, signal.SIGKILL)
            program.process.wait()


def _signal(program: Program, number: signal.Signals) -> None:
    if program.process.poll() is None:
        os.killpg(program.process.pid, number)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
