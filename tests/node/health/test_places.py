"""Holds the search for disk, sensor and alarm to the ways in which boards differ."""

from collections.abc import Callable
from pathlib import Path

import pytest

from node.health.machine import Machine, device_of
from node.health.places import cpu_zone, disk, find, rpi_volt


def write(root: Path, path: str, text: str = "") -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def zones(root: Path, *kinds: str) -> None:
    for number, kind in enumerate(kinds):
        write(root, f"sys/class/thermal/thermal_zone{number}/type", f"{kind}\n")
        write(root, f"sys/class/thermal/thermal_zone{number}/temp", "40000\n")


@pytest.mark.parametrize(
    ("kinds", "zone"),
    [
        (["acpitz", "x86_pkg_temp"], "thermal_zone1"),
        (["gpu-thermal", "cpu-thermal"], "thermal_zone1"),
        (["gpu", "cpu_thermal", "cpu_thermal"], "thermal_zone1"),
        (["acpitz", "iwlwifi_1"], "thermal_zone0"),
    ],
)
def test_the_sensor_is_chosen_by_its_type(empty: Machine, kinds: list[str], zone: str) -> None:
    zones(empty.root, *kinds)
    assert cpu_zone(empty) == zone


def test_no_sensor_at_all_is_no_file(empty: Machine) -> None:
    assert find(empty, "sys/class/thermal/{cpu_zone}/temp") is None


def test_a_zone_with_an_unreadable_type_hides_no_other(empty: Machine) -> None:
    zones(empty.root, "acpitz", "cpu-thermal")
    (empty.root / "sys/class/thermal/thermal_zone0/type").write_bytes(b"\xff\xfe")
    assert cpu_zone(empty) == "thermal_zone1"


@pytest.mark.parametrize("device", ["179:5", "179:2", "179:0"])
def test_a_partition_leads_to_its_disk(recorded: Callable[..., Machine], device: str) -> None:
    machine = recorded("pi4", device=device)
    assert disk(machine) == "mmcblk0"
    file = find(machine, "sys/block/{disk}/stat")
    assert file is not None
    assert "3105784" in file.read_text(), "of the whole disk, not of a partition"


def test_a_file_system_without_a_disk_has_none(recorded: Callable[..., Machine]) -> None:
    assert disk(recorded("pi4", device="0:42")) is None


def test_an_encrypted_partition_leads_to_the_disk_below(empty: Machine) -> None:
    card = empty.root / "sys/devices/platform/mmc/block/mmcblk0"
    write(card, "mmcblk0p5/partition", "5\n")
    mapping = empty.root / "sys/devices/virtual/block/dm-0"
    (mapping / "slaves").mkdir(parents=True)
    (mapping / "slaves/mmcblk0p5").symlink_to(card / "mmcblk0p5")
    (empty.root / "sys/dev/block").mkdir(parents=True)
    (empty.root / "sys/dev/block/179:5").symlink_to(mapping)
    assert disk(empty) == "mmcblk0"


def test_a_mapping_over_two_disks_is_no_single_disk(empty: Machine) -> None:
    mapping = empty.root / "sys/dev/block/179:5"
    for name in ("sda", "sdb"):
        write(mapping, f"slaves/{name}/size")
    assert disk(empty) is None


def test_a_missing_state_directory_has_no_disk(tmp_path: Path, empty: Machine) -> None:
    machine = Machine(root=tmp_path, state_directory=tmp_path / "absent", clock=empty.clock)
    assert disk(machine) is None


def test_the_voltage_alarm_is_found_by_name(recorded: Callable[..., Machine]) -> None:
    assert rpi_volt(recorded("pi4")) == "hwmon1"
    assert rpi_volt(recorded("cm4")) == "hwmon0"
    assert rpi_volt(recorded("laptop")) is None


def test_the_device_of_a_directory_is_major_and_minor(tmp_path: Path) -> None:
    major, minor = device_of(tmp_path).split(":")
    assert int(major) << 8 | int(minor) >= 0
    with pytest.raises(FileNotFoundError):
        device_of(tmp_path / "absent")
