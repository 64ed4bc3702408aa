"""Runs a node's agent as a process of its own for a test, which may be killed."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Self

import msgspec

from node.settings import Camera, Health, Hotspot, Identity, NodeSettings, Outbox, Uplink


class AgentProcess:
    """`simpul-node agent` with a settings file and a state directory of its own."""

    def __init__(
        self, directory: Path, name: str, brokers: Iterable[str], *, interval_seconds: float = 0.5
    ) -> None:
        """Write node.toml; radio and health measure every `interval_seconds`."""
        self.directory = directory
        self.name = name
        self.log = directory / "agent.log"
        self.state = directory / "state"
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        self.settings = NodeSettings(
            node=Identity(name=name, title=name, state_directory=str(self.state)),
            uplink=Uplink(
                brokers=tuple(brokers),
                keepalive_seconds=5,
                acknowledge_timeout_seconds=5,
                backoff_min_seconds=0.1,
                backoff_max_seconds=1,
            ),
            outbox=Outbox(commit_interval_seconds=0.1),
            hotspot=Hotspot(adapter="simulated", measure_interval_seconds=interval_seconds),
            health=Health(measure_interval_seconds=interval_seconds),
        )
        self.file = self.write()

    def write(self, **tables: Camera | Hotspot | Identity | Outbox | Uplink) -> Path:
        """Write node.toml again, with some tables replaced."""
        self.settings = msgspec.structs.replace(self.settings, **tables)
        lines = []
        for table, values in msgspec.to_builtins(self.settings).items():
            lines.append(f"[{table}]")
            lines += [
                f"{key} = {msgspec.json.encode(value).decode()}"
                for key, value in values.items()
                if value is not None  # TOML leaves out what is not set
            ]
        file = self.directory / "node.toml"
        file.write_text("\n".join(lines) + "\n")
        return file

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.stop()

    @property
    def pid(self) -> int:
        """Process id of the running agent."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the process."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "node", "agent", "--config", str(self.file)],
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def running(self) -> bool:
        """Tell whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> int:
        """Stop it as systemd does and return its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(timeout=15)
        self._process = None
        return code

    def committed(self) -> dict[str, list[tuple[int, int]]]:
        """Return what its outbox file holds: boot -> ranges of sequence numbers, in order."""
        held: dict[str, list[tuple[int, int]]] = {}
        db = sqlite3.connect(f"file:{self.state / 'outbox.db'}?mode=ro", uri=True)
        with closing(db), suppress(sqlite3.OperationalError):  # a file without tables holds nothing
            rows = db.execute("SELECT boot, first, last FROM batch ORDER BY boot, first")
            for boot, first, last in rows:
                held.setdefault(boot, []).append((first, last))
        return held
