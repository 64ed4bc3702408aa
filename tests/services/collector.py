"""Runs the hub's collector as a process of its own for a test, which may be killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

_EAGER = """[gaps]
grace_seconds = 0.5
interval_min_seconds = 1.0
interval_max_seconds = 5.0"""


class Collector:
    """`simpul-hub collect` with a settings file in its own directory."""

    def __init__(
        self, directory: Path, *, brokers: list[str], database: str, more: str = ""
    ) -> None:
        """Write hub.toml; `more` is appended to it (further tables)."""
        self.directory = directory
        self.public = directory / "public"
        self.file = directory / "hub.toml"
        self.log = directory / "collector.log"
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        urls = ", ".join(f'"{url}"' for url in brokers)
        self.file.write_text(
            f"""[broker]
urls = [{urls}]
keepalive_seconds = 5
backoff_min_seconds = 0.1
backoff_max_seconds = 1.0

[database]
url = "{database}"
backoff_max_seconds = 1.0

[public]
directory = "{self.public}"

{more or _EAGER}
"""
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.stop()

    def start(self) -> None:
        """Start the process."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hub", "collect", "--config", str(self.file)],
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def stop(self) -> int:
        """Stop it as systemd does and return its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(timeout=15)
        self._process = None
        return code
