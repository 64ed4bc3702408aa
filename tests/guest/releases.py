"""Inside the guest, under systemd: releases installed by the node's own program, good and bad.

Named on pytest's command line by tests/node/install/test_live.py, which made the releases.
"""

import json
import signal
import subprocess
from pathlib import Path

import pytest
from services.waiting import until

from node.install import service
from node.install.health import output_of
from node.install.service import Systemd

UNIT = "simpul-node.service"
HOME = Path("/opt/simpul")
GUEST = Path("/run/guest")
QUICK = ("--soak", "3", "--patience", "120")


def simpul_node(*words: str) -> tuple[int, dict[str, str]]:
    command = [str(HOME / "current/bin/simpul-node"), "install", *words, "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    print(words, done.stdout, done.stderr)  # noqa: T201 - what the guest's log is read for
    return done.returncode, json.loads(done.stdout)


def shown(name: str, unit: str = UNIT) -> str:
    command = ["systemctl", "show", "--value", "--property", name, unit]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def current() -> str:
    return (HOME / "current").resolve().name


def running() -> str:
    """Return the release whose program the agent's process really is."""
    words = Path(f"/proc/{shown('MainPID')}/cmdline").read_text().split("\0")
    return Path(words[0]).parents[1].name


def journal(unit: str = "") -> str:
    command = ["journalctl", "--no-pager", "-b", "-n", "300", *(["-u", unit] if unit else [])]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout


@pytest.fixture(scope="module", autouse=True)
def started() -> None:
    subprocess.run(["systemctl", "enable", "--quiet", "simpul-install.service"], check=True)
    try:
        subprocess.run(["systemctl", "start", "simpul-install.service", UNIT], check=True)
    except subprocess.CalledProcessError:
        pytest.fail(journal())
    until(delivering, "the first release to reach the broker", seconds=240)


def delivering() -> bool:
    output = output_of(Path("/var/lib/simpul/outbox.db"))
    return output is not None and output.delivered


def test_a_good_release_runs_once_the_controller_confirmed_it() -> None:
    before = current()
    code, trial = simpul_node(str(GUEST / "good.bundle"), "--confirm-within", "600", *QUICK)
    assert (code, trial["status"]) == (0, "trial"), journal()
    assert current() == running() == trial["release"] != before
    assert shown("ActiveState", "simpul-node-revert.timer") == "active"
    code, kept = simpul_node("confirm", trial["release"])
    assert (code, kept["status"]) == (0, "installed")
    assert shown("ActiveState", "simpul-node-revert.timer") == "inactive"
    assert shown("ActiveState", "simpul-node-revert-start.timer") == "inactive"
    assert current() == running() == trial["release"]
    # Ansible's second run.
    assert simpul_node(str(GUEST / "good.bundle"))[1]["status"] == "current"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("crashes", "did not become ready"),
        ("crashes-later", "the agent"),
        ("never-ready", "did not become ready"),
        ("hangs", "hangs: silent for"),
        ("no-broker", "reaches no broker, though the last release did"),
    ],
)
def test_a_bad_release_goes_back_by_itself(name: str, words: str) -> None:
    before = current()
    until(delivering, "the last release to reach the broker", seconds=240)
    code, outcome = simpul_node(str(GUEST / f"{name}.bundle"), "--soak", "6", "--patience", "30")
    assert (code, outcome["status"]) == (4, "reverted"), journal()
    assert words in outcome["message"], journal()
    assert current() == running() == before
    assert shown("ActiveState") == "active"
    assert shown("ActiveState", "simpul-node-revert-start.timer") == "inactive"


def test_settings_that_the_release_does_not_know_stop_it_before_the_flip() -> None:
    before, pid = current(), shown("MainPID")
    code, outcome = simpul_node(str(GUEST / "refuses.bundle"), *QUICK)
    assert (code, outcome["status"]) == (3, "refused")
    assert "camera.angel" in outcome["message"]
    assert (current(), shown("MainPID")) == (before, pid)


def test_a_silent_controller_is_a_failure() -> None:
    before = current()
    until(delivering, "the last release to reach the broker", seconds=240)
    code, trial = simpul_node(str(GUEST / "newer.bundle"), "--confirm-within", "5", *QUICK)
    assert (code, trial["status"]) == (0, "trial"), journal()
    assert current() != before
    until(lambda: current() == before, "the timer", seconds=240)
    until(lambda: shown("ActiveState") == "active" and running() == before, "it", seconds=240)
    assert "nobody confirmed it in time" in simpul_node("status")[1]["message"]


def test_a_timer_whose_call_fails_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, program = tmp_path / "calls", tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho $* >> {calls}\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(service, "AGAIN_S", 1.0)
    timer = Systemd()
    timer.arm("confirm", program, 1)
    until(lambda: calls.exists() and calls.read_text().count("install resume") > 2, "it")
    timer.disarm()
    assert shown("ActiveState", "simpul-node-revert.timer") == "inactive"


def test_a_killed_installer_leaves_nothing_unproven_at_the_next_boot() -> None:
    before = current()
    command = [str(HOME / "current/bin/simpul-node"), "install", str(GUEST / "newer.bundle")]
    installer = subprocess.Popen([*command, "--soak", "600"])
    until(lambda: current() != before, "the flip", seconds=240)
    # sh(1) has become the installer.
    installer.send_signal(signal.SIGKILL)
    installer.wait()
    assert shown("ActiveState", "simpul-node-revert-start.timer") == "active"
    subprocess.run(["systemctl", "start", "simpul-install.service"], check=True)
    assert shown("Result", "simpul-install.service") == "success", journal()
    assert current() == before
    assert "stopped during its trial" in simpul_node("status")[1]["message"]
    assert shown("ActiveState", "simpul-node-revert-start.timer") == "inactive"
