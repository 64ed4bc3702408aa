"""The agent as systemd sees it: ready, alive, and gone within five seconds."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from services.ports import free_port
from services.waiting import until

STOP_SECONDS_MAX = 5


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    """Listen where systemd would."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(20)
        yield channel


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    mask = tmp_path / "mask.toml"
    mask.write_text("nothing_to_mask = true\n")
    file = tmp_path / "node.toml"
    file.write_text(
        f"""
[node]
name = "taman-bunga"
state_directory = "{tmp_path / "state"}"
[uplink]
brokers = ["mqtt://127.0.0.1:{free_port()}"]
[camera]
adapter = "rendered"
width = 320
height = 192
mask_file = "{mask}"
[hotspot]
adapter = "simulated"
"""
    )
    return file


def start(settings: Path, **environment: str) -> subprocess.Popen[bytes]:
    with (settings.parent / "agent.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "node", "agent", "--config", str(settings)],
            stderr=log,
            env={**os.environ, **environment},
        )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ready_watchdog_stopping(
    systemd: socket.socket, settings: Path, number: signal.Signals
) -> None:
    agent = start(settings, NOTIFY_SOCKET=str(systemd.getsockname()), WATCHDOG_USEC="1000000")
    assert systemd.recv(100) == b"READY=1"
    assert systemd.recv(100) == b"WATCHDOG=1"
    children = Path(f"/proc/{agent.pid}/task/{agent.pid}/children")
    until(lambda: _children(agent.pid) != [], "the camera process")
    cameras = _children(agent.pid)
    start_mono = time.monotonic()
    agent.send_signal(number)
    said = b""
    while said != b"STOPPING=1":
        said = systemd.recv(100)
    assert agent.wait(10) == 0
    assert time.monotonic() - start_mono < STOP_SECONDS_MAX
    assert not children.exists()
    until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in cameras), "no camera left")
    log = (settings.parent / "agent.log").read_text()
    assert "Traceback" not in log
    assert "did not stop in time" not in log


def test_it_runs_without_systemd(settings: Path) -> None:
    agent = start(settings, NOTIFY_SOCKET="/nonexistent/socket")
    until(lambda: "started" in (settings.parent / "agent.log").read_text(), "the start")
    agent.terminate()
    assert agent.wait(10) == 0


def _children(pid: int) -> list[int]:
    """Return the processes that any thread of `pid` started."""
    return [
        int(child)
        for file in Path(f"/proc/{pid}/task").glob("*/children")
        for child in file.read_text().split()
    ]
