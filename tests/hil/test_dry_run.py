"""The benches of the environment file are complete, and a broken one is told before it moves."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from hil_tests.bench.environment import FILE, bench_names, open_bench
from hil_tests.bench.errors import BenchError
from hil_tests.bench.features import FEATURES, lacking
from hil_tests.bench.lock import locked

ROOT = Path(__file__).parents[2]
KERNEL_HANDS = "      - KernelHands:\n          bindings: {command: node, files: node}\n"


def dry_run(bench: str, report: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "hil_tests", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, "--bench", bench, "--dry-run", "--report", str(report)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("bench", bench_names())
def test_every_bench_is_complete(bench: str, tmp_path: Path) -> None:
    done = dry_run(bench, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "report.html").exists()
    cases = list(ET.parse(tmp_path / "junit.xml").iter("testcase"))  # noqa: S314 - pytest wrote it
    reasons = [str(each.get("message")) for case in cases for each in case.iter("skipped")]
    assert reasons
    assert all("dry run: would run" in each or "lacks" in each for each in reasons)
    assert len(cases) > len(reasons), "the bench's own tests run in a dry run, too"


def test_an_unknown_bench_is_told() -> None:
    with pytest.raises(BenchError, match=r"no bench pi5-z .*benches are pi4-a, virtual"):
        open_bench("pi5-z")


@pytest.mark.parametrize(
    ("bench", "old", "new", "words"),
    [
        ("virtual", "features: [power", "features: [pwer", "feature pwer is not known"),
        ("virtual", KERNEL_HANDS, "", "feature hands needs a driver with HandsProtocol"),
        ("pi4-a", "      - SerialDriver: {}\n", "", "no ConsoleProtocol driver found"),
    ],
)
def test_a_broken_bench_is_told(tmp_path: Path, bench: str, old: str, new: str, words: str) -> None:
    text = FILE.read_text()
    file = tmp_path / "benches.yaml"
    file.write_text(text.replace(old, new))
    assert old in text
    with pytest.raises(BenchError, match=words):
        open_bench(bench, file)


def test_a_skip_says_its_reason() -> None:
    reason = lacking("pi4-a", {"ssh", "powercut"}, {"ssh"})
    assert reason.startswith("bench pi4-a lacks powercut")
    assert FEATURES["powercut"] in reason
    assert not lacking("pi4-a", {"ssh"}, {"ssh", "power"})


def test_a_bench_is_held_by_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    second = locked("virtual")
    with (
        locked("virtual"),
        pytest.raises(BenchError, match=f"in use by process {os.getpid()}"),
    ):
        second.__enter__()
    with locked("virtual"):
        pass
