"""The Raspberry Pi sensor on the real picamera2 and libcamera, in a guest with Debian 13.

libcamera's virtual camera plays real footage: contract, masks and failures.
"""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from services.footage import CLIP, write_frames
from services.guest import run_in_guest, why_no_guest
from services.trixie import SITE, trixie_root, why_no_trixie

ROOT = Path(__file__).parents[3]
WIDTH, HEIGHT = 320, 192
CONTRACT = "tests/node/camera/test_sensor_contract.py"
OWN = "tests/guest/picamera2_virtual.py"
VIRTUAL = f"""%YAML 1.1
---
"Virtual0":
  supported_formats:
  - width: {WIDTH}
    height: {HEIGHT}
    frame_rates: [5, 20]
  frames:
    path: /run/guest/frames
"""
# picamera2 itself still calls setDaemon, and leaves a pipe to the garbage collector.
COMMAND = f"""
mkdir -p /usr/share/libcamera/pipeline/virtual
cp /run/guest/virtual.yaml /usr/share/libcamera/pipeline/virtual/
export PYTHONDONTWRITEBYTECODE=1 LIBCAMERA_LOG_LEVELS='*:ERROR'
export PYTHONPATH=tests/guest/virtual_camera:{SITE}:{ROOT}
cam -l
cd {ROOT}
python3 -m pytest -p no:cacheprovider -q -W ignore:setDaemon:DeprecationWarning \\
    -W 'ignore:unclosed file:ResourceWarning' \\
    -k 'libcamera or picamera2_virtual' \
    --junitxml=/run/guest/junit.xml --basetemp=/tmp/pytest {CONTRACT} {OWN}
"""
# Five of the contract, four of its own.
TESTS_COUNT = 5 + 4

pytestmark = [
    pytest.mark.guest,
    pytest.mark.skipif(bool(why_no_guest()), reason=why_no_guest()),
    pytest.mark.skipif(bool(why_no_trixie()), reason=why_no_trixie()),
    pytest.mark.skipif(not CLIP.exists(), reason="Debian's opencv-doc is not installed"),
    pytest.mark.timeout(1300),
]


def test_the_real_picamera2_keeps_the_contract(tmp_path: Path) -> None:
    exchange = tmp_path / "guest"
    write_frames(exchange / "frames", width=WIDTH, height=HEIGHT, count=20)
    (exchange / "virtual.yaml").write_text(VIRTUAL)
    ran = run_in_guest(COMMAND, exchange, timeout_s=1200, root=trixie_root())
    assert ran.status == 0, ran.output[-8000:] + ran.console[-2000:]
    assert "Virtual0" in ran.output
    report = ET.parse(exchange / "junit.xml")  # noqa: S314 - pytest wrote it
    cases = list(report.iter("testcase"))
    assert len(cases) == TESTS_COUNT, ran.output
    assert not [case.get("name") for case in cases if len(case)], "skipped or failed"
