"""Runs the steps of a build: shows each with its time, keeps its log, words its failure."""

import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from provisioning.image.errors import BuildError, ToolError

_TAIL_LINES = 12
_WIDTH = 160


class Took(Struct, frozen=True):
    """How long one step took, and what it cost on the processors."""

    step: str
    wall_seconds: float
    cpu_seconds: float
    cached: bool = False


class Steps:
    """The steps of one build; `show` gets a line for each."""

    def __init__(self, logs: Path, show: Callable[[str], None]) -> None:
        self.logs = logs
        self.took: list[Took] = []
        self._show = show
        logs.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def step(self, name: str, what: str) -> Iterator[Path]:
        """Show a step while it runs; yield the file of its log."""
        self._show(f"  {name}: {what}")
        start, cpu = time.monotonic(), _cpu_seconds()
        log = self.logs / f"{name.replace(' ', '-')}.log"
        log.write_bytes(b"")
        yield log
        took = Took(name, time.monotonic() - start, _cpu_seconds() - cpu)
        self.took.append(took)
        self._show(f"  {name}: {took.wall_seconds:.1f} s ({took.cpu_seconds:.1f} s of CPU)")

    def cached(self, name: str) -> None:
        """Show that a step need not run."""
        self.took.append(Took(name, 0.0, 0.0, cached=True))
        self._show(f"  {name}: unchanged")


def run(
    command: Sequence[str],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    explain: Callable[[str], str] | None = None,
    cwd: Path | None = None,
) -> None:
    """Run `command` with its output in `log`.

    Raises ToolError when it is missing, BuildError with what `explain` makes of the log, else with
    the log's end.
    """
    with log.open("ab") as out:
        out.write(f"$ {' '.join(command)}\n".encode())
        out.flush()
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                check=False,
                cwd=cwd,
                env={**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC", **(environment or {})},
            )
        except FileNotFoundError as error:
            raise ToolError(
                f"{command[0]} is missing: see docs/how-to/build-an-image.md"
            ) from error
    if done.returncode:
        said = log.read_text("utf-8", "replace")
        reason = explain(said) if explain else ""
        tail = "\n    ".join(line[:_WIDTH] for line in said.splitlines()[-_TAIL_LINES:])
        raise BuildError(f"{reason or Path(command[0]).name + ' failed:'}\n    {tail}\nlog: {log}")


def _cpu_seconds() -> float:
    used = [resource.getrusage(each) for each in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
