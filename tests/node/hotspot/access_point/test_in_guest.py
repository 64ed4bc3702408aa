"""Access point and board on drivers that the kernel simulates, under systemd, in one guest."""

import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from services.gpio_simulator import gpio_simulator
from services.guest import run_in_guest, why_no_guest
from services.guest_kernel import kernel_folder
from services.installed import PREPARE, SERVICE, pytest_command

PROGRAMS = ("hostapd", "dnsmasq", "nft", "wpa_supplicant", "iw", "mosquitto_sub", "gcc-12", "make")
TESTS = (
    "tests/guest/access_point.py",
    "tests/guest/board_units.py",
    "tests/node/board/test_lines_contract.py",
)
# gpiozero asks what Pi it runs on before it knows a pin by its number: a Pi 4.
PI = "cp /proc/cpuinfo /run/cpuinfo; echo 'Revision : c03111' >> /run/cpuinfo"
ACCESS_POINT_COUNT, UNITS_COUNT, CONTRACT_COUNT = 24, 3, 9

pytestmark = [
    pytest.mark.guest,
    pytest.mark.skipif(bool(why_no_guest()), reason=why_no_guest()),
    pytest.mark.skipif(
        not Path("/lib/systemd/systemd").exists()
        or not all(shutil.which(program) for program in PROGRAMS),
        reason=f"not all installed: systemd, {', '.join(PROGRAMS)}",
    ),
    pytest.mark.long,
    pytest.mark.timeout(2400),
]


def test_access_point_and_board_hold_on_the_kernels_drivers(tmp_path: Path) -> None:
    exchange = tmp_path / "guest"
    exchange.mkdir()
    shutil.copy(gpio_simulator(kernel_folder()), exchange / "gpio-simulator.ko")
    (exchange / "prepare").write_text(PREPARE)
    (exchange / "guest.service").write_text(SERVICE)
    command = f"""
modprobe mac80211_hwsim radios=3
modprobe configfs; mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
insmod /run/guest/gpio-simulator.ko
{PI}; mount -o bind /run/cpuinfo /proc/cpuinfo
{pytest_command("-k 'not mock'", "--durations=12", *TESTS)}
"""
    ran = run_in_guest(command, exchange, timeout_s=2300, systemd=True)
    assert ran.status == 0, ran.output[-12000:] + (exchange / "prepared").read_text()
    report = ET.parse(exchange / "junit.xml")  # noqa: S314 - pytest wrote it
    cases = list(report.iter("testcase"))
    wanted = ACCESS_POINT_COUNT + UNITS_COUNT + CONTRACT_COUNT
    assert len(cases) == wanted, ran.output
    assert not [case.get("name") for case in cases if len(case)], "skipped or failed"
