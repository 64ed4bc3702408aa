"""Every guard against the wrong disk, and an attempt to get past it."""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from services.flash_batches import untouched
from services.loop_cards import MIB, attach, device_at, loop_card, needs_loop

from provisioning.flash.block import open_for_writing
from provisioning.flash.choose import Candidate, choose, confirm
from provisioning.flash.device import Device, list_devices
from provisioning.flash.errors import RefusedError, StationError
from provisioning.flash.guards import Policy, refusals, uses

POLICY = Policy(size_min_bytes=MIB, allow_loop=True)
USB = Device(name="sdx", number="8:0", bus="usb", size_bytes=MIB, disk_sequence=1, removable=True)


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Device]:
    with loop_card(tmp_path / "card", 8 * MIB) as device:
        yield device


@needs_loop
def test_a_free_card_is_opened(card: Device) -> None:
    assert refusals(card, POLICY) == []
    os.close(open_for_writing(card))


@needs_loop
def test_a_mounted_card_is_not_written(card: Device, tmp_path: Path) -> None:
    subprocess.run(["mkfs.ext4", "-q", card.path], check=True, capture_output=True)
    place = tmp_path / "with space"
    place.mkdir()
    subprocess.run(["mount", card.path, place], check=True)
    try:
        assert refusals(card, POLICY) == [f"holds {place}"]
        with pytest.raises(RefusedError, match="in use"):
            open_for_writing(card)  # the kernel refuses too, whatever was asked before
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.fixture
def partition(tmp_path: Path) -> Iterator[str]:
    """Give a partition of a card, made by hand: not every kernel reads tables, nor runs udevd."""
    (tmp_path / "card").write_bytes(bytes(16 * MIB))
    command = ["losetup", "--find", "--show", "--partscan", str(tmp_path / "card")]
    path = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    node = Path(f"{path}p1")
    try:
        subprocess.run(["addpart", path, "1", "2048", "20480"], check=True)
        number = Path(f"/sys/class/block/{node.name}/dev").read_text().strip().split(":")
        if not node.exists():
            os.mknod(node, stat.S_IFBLK | 0o600, os.makedev(int(number[0]), int(number[1])))
        yield str(node)
    finally:
        subprocess.run(["losetup", "--detach", path], check=True)
        node.unlink(missing_ok=True)


@needs_loop
def test_a_card_with_a_mounted_partition_is_not_written(partition: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    subprocess.run(["mkfs.ext4", "-q", partition], check=True, capture_output=True)
    subprocess.run(["mount", partition, place], check=True)
    try:
        device = device_at(partition.removesuffix("p1"))
        assert refusals(device, POLICY) == [f"holds {place}"]
        with pytest.raises(RefusedError, match="in use"):
            open_for_writing(device)
    finally:
        subprocess.run(["umount", place], check=True)


@needs_loop
def test_a_swapping_card_is_not_written(card: Device) -> None:
    subprocess.run(["mkswap", card.path], check=True, capture_output=True)
    subprocess.run(["swapon", card.path], check=True)
    try:
        assert refusals(card, POLICY) == ["holds swap"]
        with pytest.raises(RefusedError, match="in use"):
            open_for_writing(card)
    finally:
        subprocess.run(["swapoff", card.path], check=True)


@needs_loop
def test_a_card_that_another_station_writes_is_refused(card: Device) -> None:
    other = open_for_writing(card)
    try:
        with pytest.raises(RefusedError, match="in use"):
            open_for_writing(card)
    finally:
        os.close(other)


@needs_loop
def test_a_card_swapped_after_confirmation_is_refused(tmp_path: Path) -> None:
    with loop_card(tmp_path / "card", 8 * MIB) as confirmed:
        pass
    (tmp_path / "other").write_bytes(os.urandom(8 * MIB))
    path = attach(tmp_path / "other")
    try:
        assert path == confirmed.path  # the same name, number and size: another medium
        with (
            untouched([tmp_path / "other"]),
            pytest.raises(RefusedError, match="another card was put in"),
        ):
            open_for_writing(confirmed)
    finally:
        subprocess.run(["losetup", "--detach", path], check=True)


@needs_loop
def test_a_name_that_means_another_device_now_is_refused(card: Device, tmp_path: Path) -> None:
    with loop_card(tmp_path / "other", 8 * MIB) as other:
        claimed = msgspec.structs.replace(card, name=other.name)
        with pytest.raises(RefusedError, match="when it was confirmed"):
            open_for_writing(claimed)


def test_a_file_is_not_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(MIB))
    named = msgspec.structs.replace(USB, name=str(file))
    with untouched([file]), pytest.raises(RefusedError, match="not a block device"):
        open_for_writing(named)


def test_nothing_is_created_where_no_device_is(tmp_path: Path) -> None:
    named = msgspec.structs.replace(USB, name=str(tmp_path / "sdx"))
    with pytest.raises(RefusedError, match="no card there"):
        open_for_writing(named)
    assert not (tmp_path / "sdx").exists()


@needs_loop
def test_a_link_is_not_followed(card: Device, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(card.path)
    named = msgspec.structs.replace(card, name=str(tmp_path / "link"))
    with pytest.raises(RefusedError, match="symbolic link"):
        open_for_writing(named)


def test_a_character_device_is_not_written() -> None:
    named = msgspec.structs.replace(USB, name="zero")
    with pytest.raises(RefusedError, match="not a block device"):
        open_for_writing(named)


@needs_loop
def test_a_write_protected_card_is_refused(tmp_path: Path) -> None:
    (tmp_path / "card").write_bytes(bytes(8 * MIB))
    command = ["losetup", "--find", "--show", "--read-only", str(tmp_path / "card")]
    path = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    try:
        device = device_at(path)
        assert refusals(device, POLICY) == ["write-protected"]
        with pytest.raises(RefusedError, match="write-protected"):
            open_for_writing(device)
    finally:
        subprocess.run(["losetup", "--detach", path], check=True)


def test_this_machine_s_own_disk_is_refused() -> None:
    """The root file system's disk, whatever else it is, holds /."""
    roots = [name for name, held in uses().items() if "/" in held]
    for device in list_devices():
        if device.name in roots:
            assert "holds /" in refusals(device, Policy(size_min_bytes=1, allow_loop=True))
            assert device.bus == "usb" or "neither removable nor on USB" in refusals(device, POLICY)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bus": "loop"}, "a loop device"),
        ({"bus": "other", "removable": False}, "neither removable nor on USB"),
        ({"size_bytes": MIB - 1}, "too small"),
        ({"size_bytes": 2**50}, "size_max_gib in station.toml allows more"),
        ({"read_only": True}, "write-protected"),
    ],
)
def test_what_is_no_card_is_refused(change: dict[str, object], reason: str, tmp_path: Path) -> None:
    policy = Policy(size_min_bytes=MIB)
    device = msgspec.structs.replace(USB, **change)
    assert refusals(USB, policy, tmp_path) == []
    assert len(refusals(device, policy, tmp_path)) == 1
    assert reason in refusals(device, policy, tmp_path)[0]


def test_a_device_named_on_the_command_line_passes_the_same_guards() -> None:
    found = [Candidate(USB, ("holds /",))]
    with pytest.raises(RefusedError, match="holds /"):
        choose(found, ["/dev/sdx"], 1)
    with pytest.raises(RefusedError, match="no disk with a medium"):
        choose(found, ["/dev/sdy"], 1)


def test_nothing_is_guessed_when_there_are_too_many_or_too_few() -> None:
    other = msgspec.structs.replace(USB, name="sdy")
    with pytest.raises(StationError, match="take the others out"):
        choose([Candidate(USB, ()), Candidate(other, ())], [], 1)
    with pytest.raises(StationError, match="0 of 1 cards"):
        choose([Candidate(USB, ("holds /",))], [], 1)
    with pytest.raises(StationError, match="one for each"):
        choose([Candidate(USB, ())], ["/dev/sdx", "/dev/sdx"], 2)


@pytest.mark.parametrize("said", ["", "y", "yes", "sdx", "sdx:9999", "sdx:1234 sdy:1234"])
def test_only_the_very_token_confirms(said: str) -> None:
    device = msgspec.structs.replace(USB, serial="ABC1234")
    with pytest.raises(RefusedError, match="nothing was written"):
        confirm([device], lambda _: said, [])
    confirm([device], lambda _: "sdx:1234", [])
    confirm([device], lambda _: "", ["sdx:1234"])
