"""Both unit files under a running systemd, in a guest: ready, hardened, watched, stopped."""

import shutil
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from services.guest import run_in_guest, why_no_guest

ROOT = Path(__file__).parents[2]
TESTS_COUNT = 8
PYTHON = Path(sys.executable).resolve().name
# Python may live in a home directory, which the units do not see: it is shown below /opt.
PREPARE = f"""set -x
useradd --system --groups video simpul
useradd --system simpul-hub
mkdir -p /opt/python /opt/simpul/source /opt/simpul/site /opt/simpul/current/bin /etc/simpul
mount -o bind {sys.base_prefix} /opt/python
mount -o bind {ROOT} /opt/simpul/source
mount -o bind {Path(pytest.__file__).parents[1]} /opt/simpul/site
for part in node hub; do
    file=/opt/simpul/current/bin/simpul-$part
    echo '#!/bin/sh' > $file
    echo 'export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/opt/simpul/source:/opt/simpul/site' >> $file
    echo 'export LD_LIBRARY_PATH=/opt/python/lib' >> $file
    echo 'exec /opt/python/bin/{PYTHON} -m' $part '"$@"' >> $file
    chmod 755 $file
done
cp {ROOT}/node/units/*.service {ROOT}/hub/units/*.service /etc/systemd/system/
mkdir -p /etc/systemd/system/simpul-node.service.d
printf '[Service]\\nWatchdogSec=10\\n' > /etc/systemd/system/simpul-node.service.d/test.conf
printf 'listener 1883 127.0.0.1\\nallow_anonymous true\\n' > /run/mosquitto.conf
cp /run/guest/node.toml /run/guest/hub.toml /run/guest/mask.toml /etc/simpul/
chmod 755 /etc/simpul && chmod 644 /etc/simpul/*
cp /run/guest/guest.service /etc/systemd/system/
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
SERVICE = """[Unit]
After=basic.target
Requires=basic.target
[Service]
Type=oneshot
ExecStart=/bin/sh /run/guest/command
StandardOutput=file:/run/guest/output
StandardError=inherit
Environment=HOME=/root
TimeoutStartSec=300
"""
COMMAND = f"""
mosquitto -d -c /run/mosquitto.conf
cd {ROOT}
PYTHONDONTWRITEBYTECODE=1 {sys.executable} -m pytest -p no:cacheprovider -q -s \
    --junitxml=/run/guest/junit.xml --basetemp=/tmp/pytest tests/guest/live_systemd.py
echo $? > /run/guest/status
sync
systemctl reboot -ff
"""

pytestmark = [
    pytest.mark.skipif(bool(why_no_guest()), reason=why_no_guest()),
    pytest.mark.skipif(
        not Path("/lib/systemd/systemd").exists() or shutil.which("mosquitto_sub") is None,
        reason="systemd or mosquitto-clients is not installed",
    ),
    pytest.mark.timeout(400),
]


def test_the_units_hold_under_systemd(tmp_path: Path) -> None:
    exchange = tmp_path / "guest"
    exchange.mkdir()
    (exchange / "prepare").write_text(PREPARE)
    (exchange / "node.toml").write_text(NODE)
    (exchange / "hub.toml").write_text('[broker]\nurls = ["mqtt://127.0.0.1:1883"]\n')
    (exchange / "mask.toml").write_text("nothing_to_mask = true\n")
    (exchange / "guest.service").write_text(SERVICE)
    ran = run_in_guest(COMMAND, exchange, timeout_s=300, systemd=True)
    print(ran.output)  # noqa: T201 - the figures of the units
    assert ran.status == 0, ran.output[-8000:] + (exchange / "prepared").read_text()
    report = ET.parse(exchange / "junit.xml")  # noqa: S314 - pytest wrote it
    cases = list(report.iter("testcase"))
    assert len(cases) == TESTS_COUNT, ran.output
    assert not [case.get("name") for case in cases if len(case)], "skipped or failed"
