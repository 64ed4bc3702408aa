"""The V4L2 sensor against the kernel's driver `vivid`, in a guest: contract and failures."""

import shutil
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from services.guest import run_in_guest, why_no_guest

ROOT = Path(__file__).parents[3]
CONTRACT = "tests/node/camera/test_sensor_contract.py"
FAILURES = "tests/guest/vivid.py"
COMMAND = f"""
modprobe vivid n_devs=1 node_types=0x1 || exit 70
cd {ROOT}
PYTHONDONTWRITEBYTECODE=1 {sys.executable} -m pytest -p no:cacheprovider -q -k 'v4l2 or vivid' \
    --junitxml=/run/guest/junit.xml --basetemp=/tmp/pytest {CONTRACT} {FAILURES}
"""
# Five of the contract for the open device and one for a missing one; five of vivid's own.
TESTS_COUNT = 6 + 5

pytestmark = [
    pytest.mark.guest,
    pytest.mark.long,
    pytest.mark.skipif(bool(why_no_guest()), reason=why_no_guest()),
    pytest.mark.skipif(shutil.which("v4l2-ctl") is None, reason="v4l-utils is not installed"),
    pytest.mark.timeout(1300),
]


def test_the_contract_holds_on_the_kernels_driver(tmp_path: Path) -> None:
    ran = run_in_guest(COMMAND, tmp_path / "guest", timeout_s=1200)
    assert ran.status == 0, ran.output[-8000:] + ran.console[-2000:]
    report = ET.parse(tmp_path / "guest/junit.xml")  # noqa: S314 - pytest wrote it
    cases = list(report.iter("testcase"))
    assert len(cases) == TESTS_COUNT, ran.output
    assert not [case.get("name") for case in cases if len(case)], "skipped or failed"
