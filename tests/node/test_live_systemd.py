"""Both unit files under a running systemd, in a guest: ready, hardened, watched, stopped."""

import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from services.guest import run_in_guest, why_no_guest
from services.installed import PREPARE as INSTALL
from services.installed import SERVICE, pytest_command

TESTS_COUNT = 8
PREPARE = f"""{INSTALL}
mkdir -p /etc/systemd/system/simpul-node.service.d
printf '[Service]\\nWatchdogSec=10\\n' > /etc/systemd/system/simpul-node.service.d/test.conf
printf 'listener 1883 127.0.0.1\\nallow_anonymous true\\n' > /run/mosquitto.conf
cp /run/guest/node.toml /run/guest/hub.toml /run/guest/mask.toml /etc/simpul/
chmod 755 /etc/simpul && chmod 644 /etc/simpul/*
"""
NODE = """[node]
name = "taman-bunga"
[uplink]
brokers = ["mqtt://127.0.0.1:1883"]
[camera]
adapter = "rendered"
width = 320
height = 192
"""
COMMAND = f"""
mosquitto -d -c /run/mosquitto.conf
{pytest_command("tests/guest/live_systemd.py")}
"""

pytestmark = [
    pytest.mark.guest,
    pytest.mark.long,
    pytest.mark.skipif(bool(why_no_guest()), reason=why_no_guest()),
    pytest.mark.skipif(
        not Path("/lib/systemd/systemd").exists() or shutil.which("mosquitto_sub") is None,
        reason="systemd or mosquitto-clients is not installed",
    ),
    pytest.mark.timeout(1300),
]


def test_the_units_hold_under_systemd(tmp_path: Path) -> None:
    exchange = tmp_path / "guest"
    exchange.mkdir()
    (exchange / "prepare").write_text(PREPARE)
    (exchange / "node.toml").write_text(NODE)
    (exchange / "hub.toml").write_text('[broker]\nurls = ["mqtt://127.0.0.1:1883"]\n')
    (exchange / "mask.toml").write_text("nothing_to_mask = true\n")
    (exchange / "guest.service").write_text(SERVICE)
    ran = run_in_guest(COMMAND, exchange, timeout_s=1200, systemd=True)
    print(ran.output)  # noqa: T201 - the figures of the units
    assert ran.status == 0, ran.output[-8000:] + (exchange / "prepared").read_text()
    report = ET.parse(exchange / "junit.xml")  # noqa: S314 - pytest wrote it
    cases = list(report.iter("testcase"))
    assert len(cases) == TESTS_COUNT, ran.output
    assert not [case.get("name") for case in cases if len(case)], "skipped or failed"
