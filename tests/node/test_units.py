"""The unit files are valid and grant what is needed and no more."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNITS = [
    *sorted((ROOT / "node/units").glob("*.service")),
    ROOT / "hub/units/simpul-collector.service",
]
EXPOSURE_MAX = 2.0

pytestmark = [
    pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed"),
    pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem),
]


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments], check=False, capture_output=True, text=True
    )


def test_the_unit_is_valid(unit: Path, tmp_path: Path) -> None:
    # The programs need not be installed here; everything else must hold, the others beside it.
    for each in (*UNITS, *(ROOT / "node/units").glob("*.target")):
        text = re.sub(r"^(Exec\w+=[+]?)\S+", r"\1/bin/true", each.read_text(), flags=re.MULTILINE)
        (tmp_path / each.name).write_text(text)
    result = analyze("verify", "--man=no", str(tmp_path / unit.name))
    assert result.returncode == 0, result.stderr
    assert unit.name not in result.stderr, result.stderr


def test_the_unit_is_hardened(unit: Path) -> None:
    result = analyze("security", "--offline=yes", str(unit))
    match = re.search(r"Overall exposure level.*: ([0-9.]+)", result.stdout)
    assert match, result.stdout + result.stderr
    assert float(match[1]) <= EXPOSURE_MAX


def test_the_agent_may_ask_whether_the_clock_is_synchronised(unit: Path) -> None:
    if unit.stem != "simpul-node":
        pytest.skip("it does not ask")
    # ProtectClock= and @privileged both refuse adjtimex(2), whatever stood before them.
    text = unit.read_text()
    assert not re.search(r"^ProtectClock=(yes|true|1|on)", text, flags=re.MULTILINE)
    last = re.findall(r"^SystemCallFilter=(.*)$", text, flags=re.MULTILINE)[-1]
    assert {"adjtimex", "clock_adjtime"} <= set(last.split())
