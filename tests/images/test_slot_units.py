"""The units of a trial under a running systemd, in a guest: they settle, confirm and return."""

import re
import subprocess
from pathlib import Path

import pytest
from services.guest import Drive, run_in_guest, why_no_guest
from services.installed import SERVICE
from services.powercut import sparse_copy
from services.small_card import make_small_card

ROOT = Path(__file__).parents[2]
FILES = ROOT / "images/layers/update/files"
UNITS = sorted((FILES / "usr/lib/systemd/system").glob("simpul-*.service"))
EXPOSURE_MAX = 2.0
TRIAL = "console=ttyS0 quiet panic=-1 rdinit=/init simpul.slot=b"
PREPARE = f"""set -x
cp -a {FILES}/. /
cp /run/guest/*.service /etc/systemd/system/
mkdir -p /etc/systemd/system/simpul-slot-confirm.service.d
cat > /etc/systemd/system/simpul-slot-confirm.service.d/test.conf <<'END'
[Service]
ExecStart=
ExecStart=/usr/lib/simpul/slot-boot confirm --soak-seconds 4 --patience-seconds 15
END
"""
# The agent's own readiness is not what is looked at here.
AGENT = """[Service]
ExecStart=/bin/sh -c 'test -e /run/well && exec sleep infinity'
Restart=always
RestartSec=1
"""
COMMAND = """
modprobe virtio_blk
udevadm settle
card=/dev/disk/by-partuuid/53494d50-01
cp --sparse=never $card /run/select
say() { echo "== $1"; shift; "$@" 2>&1; echo "status $?"; }
say settle systemctl start simpul-slot-settle.service
say 'on trial' /usr/lib/simpul/slot-boot on-trial
touch /run/well
systemctl start simpul-node.service
say confirm systemctl start --wait simpul-slot-confirm.service
say primary /usr/lib/simpul/slot-boot get-primary
say again systemctl start --wait simpul-slot-confirm.service
journalctl --unit=simpul-slot-confirm.service --output=cat
# The trial once more, with an agent that never comes up: what ends this machine is its own doing.
dd if=/run/select of=$card conv=fsync status=none
rm /run/well
systemctl restart --no-block simpul-node.service
echo 0 > /run/guest/status
sync
systemctl start --no-block simpul-slot-confirm.service
sleep 120
echo 1 > /run/guest/status
systemctl reboot -ff
"""


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_is_hardened(unit: Path) -> None:
    said = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    found = re.search(r"exposure level for \S+: ([0-9.]+)", said)
    assert found is not None, said
    assert float(found[1]) <= EXPOSURE_MAX


@pytest.mark.guest
@pytest.mark.skipif(bool(why_no_guest()), reason=why_no_guest())
@pytest.mark.timeout(1500)
def test_a_trial_is_confirmed_by_a_well_agent_and_left_by_a_sick_one(tmp_path: Path) -> None:
    exchange = tmp_path / "guest"
    exchange.mkdir()
    (exchange / "prepare").write_text(PREPARE)
    (exchange / "guest.service").write_text(SERVICE)
    (exchange / "simpul-node.service").write_text(AGENT)
    sparse_copy(make_small_card(tmp_path), tmp_path / "disk")
    ran = run_in_guest(
        COMMAND,
        exchange,
        timeout_s=1200,
        systemd=True,
        drives=[Drive(tmp_path / "disk")],
        machine=("-append", TRIAL),
    )
    assert ran.status == 0, ran.output
    assert "== settle\nstatus 0" in ran.output, ran.output
    assert "== on trial\nstatus 0" in ran.output
    assert "== confirm\nstatus 0\n== primary\nb\nstatus 0" in ran.output, ran.output
    assert "slot b is confirmed: the agent is well" in ran.output
    assert "reboot: Restarting system" in ran.console
