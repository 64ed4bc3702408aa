"""Inside the guest, under systemd: the unit files as installed, with a real broker.

Named on pytest's command line by tests/node/test_live_systemd.py, which prepared users and files.
"""

import subprocess
import time
from pathlib import Path

import pytest
from services.waiting import until

UNIT = "simpul-node.service"
UNITS = (UNIT, "simpul-collector.service")
STOP_SECONDS_MAX = 5


def systemctl(*words: str) -> None:
    subprocess.run(["systemctl", *words], check=True)


def shown(unit: str, name: str) -> str:
    command = ["systemctl", "show", "--value", "--property", name, unit]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def journal() -> str:
    command = ["journalctl", "--no-pager", "-b", "-n", "200"]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout


@pytest.fixture(scope="module", autouse=True)
def started() -> None:
    try:
        systemctl("start", *UNITS)  # of Type=notify: returns once both said READY=1
    except subprocess.CalledProcessError:
        pytest.fail(journal())


def _await_restart(pid: str) -> None:
    def again() -> bool:
        new = shown(UNIT, "MainPID")
        return new not in {pid, "0"} and shown(UNIT, "ActiveState") == "active"

    until(again, "the restart", seconds=90)


@pytest.mark.parametrize("unit", UNITS)
def test_it_is_ready(unit: str) -> None:
    assert shown(unit, "ActiveState") == "active", journal()
    assert shown(unit, "User").startswith("simpul")


@pytest.mark.parametrize("unit", UNITS)
def test_it_is_hardened(unit: str) -> None:
    command = ["systemd-analyze", "security", "--no-pager", "--threshold=20", unit]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    print(result.stdout.splitlines()[-1])  # noqa: T201 - the figure is wanted
    assert result.returncode == 0, result.stdout


def test_the_hub_heard_the_birth() -> None:
    public = Path("/var/lib/simpul-hub/public/cameras.json")
    until(lambda: public.exists() and "taman-bunga" in public.read_text(), "the birth", seconds=60)


def test_a_killed_agent_is_restarted() -> None:
    pid = shown(UNIT, "MainPID")
    systemctl("kill", "--signal=KILL", "--kill-whom=main", UNIT)
    _await_restart(pid)


def test_a_hanging_agent_is_restarted() -> None:
    pid = shown(UNIT, "MainPID")
    systemctl("kill", "--signal=STOP", "--kill-whom=main", UNIT)
    _await_restart(pid)
    assert "Watchdog timeout" in journal()


def test_it_stops_in_time_and_says_so() -> None:
    start_mono = time.monotonic()
    systemctl("stop", UNIT)
    assert time.monotonic() - start_mono < STOP_SECONDS_MAX
    assert shown(UNIT, "Result") == "success"
    heard = subprocess.run(
        ["mosquitto_sub", "-C", "1", "-W", "10", "-t", "simpul/1/taman-bunga/state"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert '"online":false' in heard.stdout
