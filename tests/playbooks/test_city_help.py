"""A technician helps a node from afar, over SSH with a certificate that opens next to nothing."""

import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from services.debian_server import why_no_server
from services.namespaced import why_no_namespaces
from services.provisioned import NODE, ROOT, Station
from services.terminal import read_until

if TYPE_CHECKING:
    from conftest import City

WHY_NOT = why_no_server() or why_no_namespaces()
pytestmark = [
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT),
    pytest.mark.timeout(1200),
]
PROGRAM = "/opt/simpul/current/bin/simpul-node"


def places(station: Station) -> list[str]:
    return [
        f"--inventory={station.folder / 'inventory.ini'}",
        f"--register={station.folder / 'register.db'}",
        f"--audit={station.folder / 'audit.jsonl'}",
        f"--identity={station.key}",
    ]


def simpul(city: "City", *words: str) -> subprocess.CompletedProcess[str]:
    station = city.station
    return station.simpul(*words, *places(station), within=city.system.network)


def test_the_journal_is_read(city: "City") -> None:
    done = simpul(city, "logs", NODE, "--unit=simpul-node.service", "--lines=5")
    assert done.returncode == 0, done.stderr
    assert "simpul-node" in done.stdout
    assert 1 <= len(done.stdout.splitlines()) <= 6
    whole = simpul(city, "logs", NODE, "--unit=", "--lines=300")
    assert "sshd" in whole.stdout
    assert "Accepted publickey for technician" in whole.stdout


@pytest.mark.parametrize("unit", ["--unit=x; reboot", "--unit=$(reboot)"])
def test_no_word_becomes_a_command(city: "City", unit: str) -> None:
    done = simpul(city, "logs", NODE, unit)
    assert "is no unit" in done.stdout + done.stderr
    done = simpul(city, "logs", NODE, "--since=-1h; touch /var/lock/there")
    assert done.returncode == 3
    assert city.system.run("test", "-e", "/var/lock/there", check=False).returncode != 0


def test_a_shell_is_the_technicians(city: "City") -> None:
    words = ["shell", NODE, *places(city.station)]
    line = [*city.system.network, sys.executable, "-m", "provisioning", *words]
    ours, theirs = pty.openpty()
    with subprocess.Popen(line, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs) as shell:
        os.close(theirs)
        said = read_until(ours, b"$ ")  # what is typed before the prompt is thrown away
        os.write(ours, b"echo I am $(id -un), $(sudo -n id -un 2>&1 | tail -1); exit\n")
        said += read_until(ours, b"")
        os.close(ours)
        assert shell.wait(60) == 0
    assert b"I am technician, sudo: a password is required" in said


def test_the_technician_may_do_what_is_named_and_nothing_else(city: "City") -> None:
    listed = city.system.run("sudo", "-l", "-U", "technician").stdout
    allowed = [
        line.split("NOPASSWD:")[1].strip() for line in listed.splitlines() if "PASSWD" in line
    ]
    assert allowed == [
        f"{PROGRAM} enrol request, {PROGRAM} enrol install",
        "/usr/bin/systemctl reboot",
    ]
    for words in ("systemctl reboot --force", "systemctl stop ssh", "cat /etc/shadow", "-i"):
        line = ("runuser", "-u", "technician", "--", "sudo", "-n", *words.split())
        assert city.system.run(*line, check=False).returncode != 0, words
    for path in ("/etc/simpul/identity/mqtt.key", "/etc/shadow", "/var/lib/simpul/outbox.db"):
        line = ("runuser", "-u", "technician", "--", "cat", path)
        assert city.system.run(*line, check=False).returncode != 0, path


def test_everything_stands_in_the_log(city: "City") -> None:
    station = city.station
    done = station.simpul(
        *("audit", f"--file={station.folder / 'audit.jsonl'}"),
        f"--register={station.folder / 'register.db'}",
        within=[],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all signed" in done.stdout
