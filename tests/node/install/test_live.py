"""Releases on a real system: the agent itself, under a running systemd, in a guest."""

import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import pytest
from services.guest import Drive, run_in_guest, why_no_guest
from services.releases import Signers, changed_bundle

from node.install.bundle import read_bundle, unpack_object
from node.install.lay_down import lay_down
from provisioning.release.build import Recipe, Target, build_release

ROOT = Path(__file__).parents[3]
SITE = "lib/python3.11/site-packages"
SOME = "good or (crashes and not later) or controller or killed"
# What the agent says to systemd is where a release can be made to misbehave in every way.
NOTIFY = "def notify(state: str) -> None:\n"
PREPARE = f"""set -x
useradd --system --groups video simpul
mkdir -p /opt/simpul /etc/simpul /etc/systemd/system/simpul-node.service.d
modprobe virtio_blk; modprobe ext4
mount -t ext4 /dev/vda /opt/simpul
cp /run/guest/release-keys.toml /run/guest/node.toml /etc/simpul/
chmod 755 /etc/simpul && chmod 644 /etc/simpul/*
cp {ROOT}/node/units/simpul-node.service {ROOT}/node/units/simpul-install.service \\
    /run/guest/guest.service /etc/systemd/system/
printf '[Service]\\nTimeoutStartSec=75\\nMemoryMax=infinity\\n' \\
    > /etc/systemd/system/simpul-node.service.d/guest.conf
printf 'listener 1883 127.0.0.1\\nallow_anonymous true\\n' > /run/mosquitto.conf
"""
NODE = """[node]
name = "taman-bunga"
[uplink]
brokers = ["mqtt://127.0.0.1:1883"]
[health]
measure_interval_seconds = 2
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
TimeoutStartSec=1500
"""
COMMAND = f"""
words=$(cat /run/guest/words)
mosquitto -d -c /run/mosquitto.conf
cd {ROOT}
PYTHONDONTWRITEBYTECODE=1 {sys.executable} -m pytest -p no:cacheprovider -q -s --timeout 400 \\
    --junitxml=/run/guest/junit.xml --basetemp=/tmp/pytest tests/guest/releases.py -k "$words"
echo $? > /run/guest/status
sync
systemctl reboot -ff
"""

pytestmark = [
    pytest.mark.guest,
    pytest.mark.skipif(bool(why_no_guest()), reason=why_no_guest()),
    pytest.mark.skipif(
        not Path("/usr/bin/python3.11").exists() or shutil.which("mosquitto") is None,
        reason="the release made here needs Debian 12's Python, and Mosquitto",
    ),
    pytest.mark.long,
    pytest.mark.timeout(1700),
]


def releases_from(base: Path) -> Mapping[str, dict[str, bytes]]:
    """Return name of a release -> the files in which it differs from the first."""

    def changed(module: str, old: str, new: str) -> dict[str, bytes]:
        path = f"{SITE}/node/{module}.py"
        read = read_bundle(base)
        (entry,) = (each for each in read.manifest.files if each.path == path)
        text = b"".join(unpack_object(read, entry.sha256, entry.size_bytes)).decode()
        assert old in text
        return {path: text.replace(old, new, 1).encode()}

    def saying(program: str) -> dict[str, bytes]:
        return changed("systemd", NOTIFY, f"{NOTIFY}    {program}\n")

    later = "import time; state == 'WATCHDOG=1' and time.monotonic() % 4 < 1 and os._exit(3)"
    return {
        "good": saying("# the second release"),
        "newer": saying("# the third release"),
        "crashes": saying("raise SystemExit(3)"),
        "crashes-later": saying(later),
        "never-ready": saying("import time; time.sleep(3600)"),
        "hangs": saying("import time; state == 'WATCHDOG=1' and time.sleep(3600)"),
        "no-broker": changed("uplink/paho_link", "url.port or 0", "(url.port or 0) + 1"),
        "refuses": changed("check", "problems = [", 'problems = ["camera.angel: unknown",'),
    }


def card(tree: Path, disk: Path) -> Path:
    """Return an ext4 that holds `tree`, with room for more."""
    with disk.open("wb") as file:
        file.truncate(400 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-d", str(tree), str(disk)], check=True)
    return disk


@pytest.mark.parametrize(
    ("words", "count"),
    [
        pytest.param(SOME, 4, id="some"),
        pytest.param("releases", 10, id="all"),
    ],
)
def test_releases_under_systemd(tmp_path: Path, words: str, count: int) -> None:
    exchange = tmp_path / "guest"
    exchange.mkdir()
    recipe = Recipe(counter=1, version="0.1.0", video=False)
    with tempfile.TemporaryDirectory() as name:
        (built,) = build_release(Path(name), recipe, (Target("x86_64", "3.11"),), ROOT)
        lay_down(built.bundle, Path(name) / "root")
        disk = card(Path(name) / "root/opt/simpul", tmp_path / "card")
        signers = Signers()
        for number, (release, files) in enumerate(releases_from(built.bundle).items()):
            changed_bundle(
                built.bundle,
                exchange / f"{release}.bundle",
                files,
                counter=2 + number,
                signers=signers.keys[:2],
            )
    (exchange / "release-keys.toml").write_bytes(signers.trust_text)
    (exchange / "node.toml").write_text(NODE)
    (exchange / "prepare").write_text(PREPARE)
    (exchange / "words").write_text(words)
    (exchange / "guest.service").write_text(SERVICE)
    ran = run_in_guest(COMMAND, exchange, timeout_s=1500, systemd=True, drives=[Drive(disk)])
    print(ran.output)  # noqa: T201 - what a failure is understood by
    assert ran.status == 0, ran.output[-8000:] + (exchange / "prepared").read_text()[-2000:]
    cases = list(ET.parse(exchange / "junit.xml").iter("testcase"))  # noqa: S314 - pytest wrote it
    assert len(cases) == count, ran.output
    assert not [case.get("name") for case in cases if len(case)], "skipped or failed"
