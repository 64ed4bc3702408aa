"""The command simpul-hub as a process: exit codes, messages and a clean stop."""

import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from services.collector import Collector


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hub", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Write settings of a broker that is not there."""
    database = f"sqlite:///{tmp_path}/hub.db"
    return Collector(tmp_path, brokers=["mqtt://127.0.0.1:1"], database=database).file


def test_check_says_fine(file: Path) -> None:
    result = run("check", str(file))
    assert (result.returncode, result.stdout) == (0, f"{file}: fine\n")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[public]", "[publik]", "publik"),
        ("[broker]", '[broker]\nca_file = "/absent/ca.pem"', "/absent/ca.pem"),
        ("[broker]", '[broker]\npassword_file = "/absent/password"', "/absent/password"),
        (":1", ":99999", "99999"),
    ],
)
def test_check_and_collect_state_the_problem(file: Path, old: str, new: str, said: str) -> None:
    file.write_text(file.read_text().replace(old, new, 1))
    result = run("check", str(file))
    assert result.returncode == 1
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_wrong_usage_is_two() -> None:
    assert run("gather").returncode == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_collect_notifies_and_stops_without_a_broker(
    file: Path, tmp_path: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        process = subprocess.Popen(
            [sys.executable, "-m", "hub", "collect", "--config", str(file)],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert systemd.recv(100) == b"READY=1"
        process.send_signal(number)
        _, log = process.communicate(timeout=10)
        assert systemd.recv(100) == b"STOPPING=1"
    assert process.returncode == 0
    assert "Traceback" not in log


def test_serve_tells_its_port_and_stops(file: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "hub", "serve", "--config", str(file), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own server
        assert b"Kamera kota" in answer.read()
    process.terminate()
    process.communicate(timeout=10)
    assert process.returncode == 0
