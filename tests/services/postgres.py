"""Runs a PostgreSQL cluster of its own for a test, which may be killed and started again."""

import os
import secrets
import shutil
import signal
import subprocess
import threading
from pathlib import Path
from typing import Self

from services.ports import free_port

_UNPRIVILEGED = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []


def postgres_bin() -> Path | None:
    """Return the directory of PostgreSQL's server programs, or None when it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


class Postgres:
    """One server with a database "simpul" on its own port and directory; loopback only."""

    def __init__(self, directory: Path) -> None:
        """`directory` must not exist; it is removed by close(). Its parents must be enterable."""
        programs = postgres_bin()
        if programs is None:
            raise FileNotFoundError("PostgreSQL is not installed: apt-get install postgresql")
        self._bin = programs
        self.directory = directory
        self.port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/simpul"
        directory.mkdir(mode=0o700)
        if _UNPRIVILEGED:
            shutil.chown(directory, "postgres", "postgres")
        self._run(
            "initdb", "-D", str(directory / "data"), "-U", "postgres", "-A", "trust",
            "-E", "UTF8", "--locale=C", "--no-sync",
        )  # fmt: skip

    def __enter__(self) -> Self:
        self.start()
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "simpul")
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fresh_database(self) -> str:
        """Create another, empty database on the server and return its URL."""
        name = f"test_{secrets.token_hex(4)}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", name)
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def start(self) -> None:
        """Start the server on the same port and data, and wait until it answers."""
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 "
            f"-c unix_socket_directories={self.directory} -c shared_buffers=16MB"
        )
        self._retry(
            "pg_ctl", "-D", str(self.directory / "data"), "-l", str(self.directory / "log"),
            "-w", "-t", "60", "-o", options, "start",
        )  # fmt: skip

    def kill(self) -> None:
        """Kill the server with SIGKILL, and all of its children, as a power cut would."""
        pid_file = self.directory / "data" / "postmaster.pid"
        pid = int(pid_file.read_text().split("\n", 1)[0])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in (pid, *map(int, children)):
            _signal(each)
        _wait_gone([pid, *map(int, children)])

    def stop(self) -> None:
        """Stop the server in an orderly way."""
        self._run("pg_ctl", "-D", str(self.directory / "data"), "-m", "fast", "-w", "stop")

    def close(self) -> None:
        """Stop the server when it runs, and remove its directory."""
        if (self.directory / "data" / "postmaster.pid").exists():
            subprocess.run(
                [*_UNPRIVILEGED, str(self._bin / "pg_ctl"), "-D", str(self.directory / "data"),
                 "-m", "immediate", "-w", "stop"],
                check=False, capture_output=True,
            )  # fmt: skip
        shutil.rmtree(self.directory, ignore_errors=True)

    def _retry(self, program: str, *arguments: str) -> None:
        """Run a program until it works: after a SIGKILL shared memory is let go with a delay."""
        for _ in range(20):
            try:
                return self._run(program, *arguments)
            except RuntimeError:
                threading.Event().wait(0.25)
        return self._run(program, *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        result = subprocess.run(
            [*_UNPRIVILEGED, str(self._bin / program), *arguments],
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd="/",
            text=True,
        )
        if result.returncode:
            raise RuntimeError(f"{program}: {result.stderr.strip()}")


def _signal(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _wait_gone(pids: list[int]) -> None:
    for _ in range(200):
        if not any(_runs(pid) for pid in pids):
            return
        threading.Event().wait(0.02)
    raise TimeoutError(f"processes {pids} do not go away")


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"
