"""Holds the table to its form, and to golden figures for every recorded board."""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.clock import FakeClock
from node.health.machine import Machine
from node.health.readings import TABLE, TextFile
from node.health.source import HealthSource
from node.messages import Health

OF_OTHER_ROOMS = ("uplink_", "outbox_", "frames_")


def measure(machine: Machine) -> Health:
    return HealthSource(machine, measure_interval_seconds=1).measure()


def test_every_field_of_the_machine_has_exactly_one_row() -> None:
    filled = Counter(name for reading in TABLE for name in reading.fields)
    due = [name for name in Health.__struct_fields__ if not name.startswith(OF_OTHER_ROOMS)]
    assert filled == Counter(due)


def test_no_path_leaves_the_root() -> None:
    files = [origin for row in TABLE for origin in row.origins if isinstance(origin, TextFile)]
    assert files
    assert not [file.path for file in files if file.path.startswith("/") or ".." in file.path]


COMMON: dict[str, Any] = {
    "storage_total_bytes": 4_096_000,
    "storage_free_bytes": 1_024_000,
    "storage_read_only": False,
    "clock_synced": True,
    "clock_offset_seconds": -0.0012,
}
GOLDEN = {
    "pi4": Health(
        **COMMON,
        uptime_seconds=93784.52,
        load_1min=0.42,
        cpu_temperature_celsius=61.342,
        under_voltage_now=False,
        under_voltage_since_boot=True,
        frequency_capped_now=False,
        frequency_capped_since_boot=False,
        throttled_now=False,
        throttled_since_boot=True,
        temperature_limited_now=False,
        temperature_limited_since_boot=False,
        memory_total_bytes=3_977_535_488,
        memory_available_bytes=3_484_512_256,
        storage_written_bytes=1_590_161_408,
        agent_memory_bytes=37_748_736,
    ),
    "cm4": Health(
        **COMMON,
        uptime_seconds=512.08,
        load_1min=1.87,
        cpu_temperature_celsius=82.777,
        under_voltage_now=False,
        under_voltage_since_boot=True,
        frequency_capped_now=False,
        frequency_capped_since_boot=None,
        throttled_now=False,
        throttled_since_boot=True,
        temperature_limited_now=True,
        temperature_limited_since_boot=True,
        memory_total_bytes=1_939_030_016,
        memory_available_bytes=1_516_507_136,
        storage_written_bytes=466_452_480,
        storage_life_used_percent=100,
        storage_worn_out_soon=True,
        agent_memory_bytes=37_879_808,
    ),
    "pi-zero2w": Health(
        **COMMON,
        uptime_seconds=41.93,
        load_1min=2.11,
        cpu_temperature_celsius=48.312,
        under_voltage_now=True,
        under_voltage_since_boot=True,
        memory_total_bytes=449_052_672,
        memory_available_bytes=257_863_680,
        storage_written_bytes=10_489_856,
        agent_memory_bytes=34_209_792,
    ),
}


@pytest.mark.parametrize("tree", GOLDEN)
def test_a_board_reads_as_it_was(recorded: Callable[..., Machine], tree: str) -> None:
    assert measure(recorded(tree)) == GOLDEN[tree]


def test_a_laptop_has_no_power_flags_and_no_wear(recorded: Callable[..., Machine]) -> None:
    assert measure(recorded("laptop", device="254:0")) == Health(
        **COMMON,
        uptime_seconds=2326.03,
        load_1min=0.29,
        memory_total_bytes=24684092 * 1024,
        memory_available_bytes=24327952 * 1024,
        storage_written_bytes=8924912 * 512,
        agent_memory_bytes=14000 * 1024,
    )


def test_an_empty_tree_leaves_only_what_is_no_file(empty: Machine) -> None:
    assert measure(empty) == Health(**COMMON)


def test_a_read_only_card_is_told(
    empty: Machine, make_file_system: Callable[..., os.statvfs_result]
) -> None:
    machine = replace(empty, statvfs=lambda _: make_file_system(read_only=True))
    assert measure(machine).storage_read_only is True


def test_the_real_root_of_this_machine_reads(tmp_path: Path) -> None:
    machine = Machine(root=Path("/"), state_directory=tmp_path, clock=FakeClock())
    health = measure(machine)
    assert health.uptime_seconds is not None
    assert health.agent_memory_bytes is not None
    assert 4 * 2**20 < health.agent_memory_bytes < 2**31
    assert health.storage_total_bytes is not None
    assert health.storage_free_bytes is not None
    assert 0 < health.storage_free_bytes <= health.storage_total_bytes
    assert health.clock_synced is False
