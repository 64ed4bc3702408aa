"""An emulated board with a card in it: boots, reboots as the firmware would, and can be unplugged.

with Board(card, Machine()) as board:
    board.wait_for("login:", timeout_s=120)
    board.cut_power()
"""

import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from provisioning.image.boot.errors import CardError, MachineError, MachineTimeoutError
from provisioning.image.boot.firmware import Decision, copy_boot_files, decide
from provisioning.image.boot.phases import POWER_OFF, TRYBOOT, Phase, new_phases
from provisioning.image.boot.qemu import Machine, qemu_command

_STOP_TIMEOUT_S = 10.0
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[=>78])")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the console."""

    boot: int
    """Which boot said it, from 0."""
    at_s: float
    """Since that boot began."""
    text: str


@dataclass(slots=True)
class Boot:
    """One boot and what came of it."""

    decision: Decision
    phases: list[Phase] = field(default_factory=list)


class Board:
    """Runs `machine` with the raw image `card`, which it writes to; raspi3b asks for 2^n bytes."""

    def __init__(
        self,
        card: Path,
        machine: Machine | None = None,
        *,
        listen: Callable[[Line], None] | None = None,
    ) -> None:
        self.boots: list[Boot] = []
        self.lines: list[Line] = []
        self._card = card
        self._machine = machine or Machine()
        self._listen = listen
        self._changed = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._unplugged = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="board", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cut_power()

    def wait_for(self, pattern: str, *, timeout_s: float, after: int = 0) -> int:
        """Return the index after the first line from `after` on that `pattern` is found in.

        Raises MachineTimeoutError, MachineError when the machine is off and will not say it.
        """
        wanted = re.compile(pattern)
        end = time.monotonic() + timeout_s
        position = after
        with self._changed:
            while True:
                while position < len(self.lines):
                    position += 1
                    if wanted.search(self.lines[position - 1].text):
                        return position
                if not self._thread.is_alive():
                    raise MachineError(f"the machine is off before {pattern!r}{self._tail()}")
                if not self._changed.wait(max(0.0, end - time.monotonic())) and (
                    time.monotonic() >= end
                ):
                    raise MachineTimeoutError(
                        f"no {pattern!r} within {timeout_s:.0f} s{self._tail()}"
                    )

    def send(self, text: str) -> None:
        """Type `text` and a return on the console. Raises MachineError when the machine is off."""
        if self._process is None or self._process.stdin is None:
            raise MachineError("the machine is off: nothing can be typed")
        try:
            self._process.stdin.write(f"{text}\n".encode())
        except BrokenPipeError as error:
            raise MachineError(
                f"the machine went off as {text!r} was typed{self._tail()}"
            ) from error

    def wait_off(self, timeout_s: float) -> None:
        """Return once the machine has powered off. Raises MachineTimeoutError, CardError."""
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise MachineTimeoutError(f"still on after {timeout_s:.0f} s{self._tail()}")
        if self._failure is not None:
            raise self._failure

    def cut_power(self) -> None:
        """Stop at once; what the guest has not flushed may still be on the card image."""
        with self._changed:
            self._unplugged = True
            if self._process is not None:
                self._process.kill()
        if self._thread.is_alive():
            self._thread.join(_STOP_TIMEOUT_S)

    def _run(self) -> None:
        tryboot = False
        try:
            while not self._unplugged:
                first = len(self.lines)
                self._boot_once(tryboot=tryboot)
                said = [line.text for line in self.lines[first:]]
                if any(POWER_OFF.search(text) for text in said):
                    return
                tryboot = any(TRYBOOT.search(text) for text in said)
        except (CardError, MachineError) as error:
            self._failure = error
        finally:
            with self._changed:
                self._changed.notify_all()

    def _boot_once(self, *, tryboot: bool) -> None:
        decision = decide(self._card, tryboot=tryboot)
        with tempfile.TemporaryDirectory(prefix="simpul-boot-") as folder:
            files = copy_boot_files(self._card, decision, Path(folder), self._machine.dtb_name)
            command = qemu_command(self._machine, self._card, files)
            with self._changed:
                if self._unplugged:
                    return
                self.boots.append(Boot(decision))
                self._process = self._start(command)
            with self._process as process:
                self._read_console(process)
        if process.returncode not in {0, -9}:
            raise MachineError(f"QEMU ended with status {process.returncode}{self._tail()}")

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        if shutil.which(command[0]) is None:
            raise MachineError(f"{command[0]} is missing: apt-get install qemu-system-arm")
        pipe = subprocess.PIPE
        # It must not outlive this program, even one that is killed (prctl(2), PR_SET_PDEATHSIG).
        command = ["setpriv", "--pdeathsig", "KILL", *command]
        return subprocess.Popen(
            command, bufsize=0, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT
        )

    def _read_console(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdout is None:
            raise MachineError("QEMU has no console")
        start_mono = time.monotonic()
        seen: set[str] = set()
        for raw in open(process.stdout.fileno(), "rb", closefd=False):  # noqa: SIM115 - Popen's own
            text = _ESCAPES.sub("", raw.decode("utf-8", "replace")).strip("\r\n")
            line = Line(len(self.boots) - 1, time.monotonic() - start_mono, text)
            phases = new_phases(text, line.at_s, seen)
            seen |= {phase.name for phase in phases}
            with self._changed:
                self.boots[-1].phases += phases
                self.lines.append(line)
                self._changed.notify_all()
            if self._listen is not None:
                self._listen(line)

    def _tail(self) -> str:
        return "".join(f"\n    {line.text}" for line in self.lines[-12:])
