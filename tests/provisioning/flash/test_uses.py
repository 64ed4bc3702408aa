"""What holds a disk, from trees of /sys and /proc as such machines have them."""

from pathlib import Path

import pytest

from provisioning.flash.device import list_devices
from provisioning.flash.guards import Policy, refusals, uses

PCI = "sys/devices/pci0000:00/0000:00:14.0"
READER = f"{PCI}/usb1/1-2/1-2.3/1-2.3:1.0/host4/target4:0:0/4:0:0:1/block/sdb"
NVME = "sys/devices/pci0000:00/0000:00:1d.0/0000:3d:00.0/nvme/nvme0/nvme0n1"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give a laptop: an encrypted system on NVMe, a card reader of four slots on USB."""
    _disk(tmp_path, NVME, "259:0", size=2_000_000, removable="0")
    _partition(tmp_path, NVME, "nvme0n1p1", "259:1")
    _partition(tmp_path, NVME, "nvme0n1p2", "259:2")
    _disk(tmp_path, READER, "8:16", size=62_333_952, removable="1")
    _partition(tmp_path, READER, "sdb1", "8:17")
    _write(tmp_path / "sys/scsi/model", "STORAGE DEVICE  ")
    _link(tmp_path, f"{READER}/device", "sys/scsi")
    _write(tmp_path / f"{PCI}/usb1/1-2/1-2.3/serial", "000000001206\n")
    _mapped(tmp_path, "dm-0", "253:0", NVME, "nvme0n1p2")
    _write(tmp_path / "proc/self/mountinfo", "")
    _write(tmp_path / "proc/swaps", "Filename Type Size Used Priority\n")
    return tmp_path


def _write(file: Path, text: str) -> None:
    file = file.resolve()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def _link(root: Path, link: str, to: str) -> None:
    place = root / link
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(root / to)


def _disk(root: Path, place: str, number: str, *, size: int, removable: str) -> None:
    name = Path(place).name
    _write(root / place / "dev", number)
    _write(root / place / "size", str(size))
    _write(root / place / "removable", removable)
    _write(root / place / "ro", "0")
    _write(root / place / "diskseq", "7")
    (root / place / "holders").mkdir()
    (root / place / "slaves").mkdir()
    _link(root, f"sys/block/{name}", place)
    _link(root, f"sys/class/block/{name}", place)
    _link(root, f"sys/dev/block/{number}", place)


def _partition(root: Path, disk: str, name: str, number: str) -> None:
    place = f"{disk}/{name}"
    _write(root / place / "partition", "1")
    _write(root / place / "dev", number)
    (root / place / "holders").mkdir()
    _link(root, f"sys/class/block/{name}", place)
    _link(root, f"sys/dev/block/{number}", place)


def _mapped(root: Path, name: str, number: str, disk: str, part: str) -> None:
    place = f"sys/devices/virtual/block/{name}"
    _disk(root, place, number, size=1_000_000, removable="0")
    _link(root, f"{place}/slaves/{part}", f"{disk}/{part}")
    _link(root, f"{disk}/{part}/holders/{name}", place)


def _mounts(root: Path, *lines: str) -> None:
    _write(root / "proc/self/mountinfo", "".join(f"{line}\n" for line in lines))


def test_a_reader_s_card_is_seen_with_its_port_slot_and_serial(root: Path) -> None:
    (card,) = [each for each in list_devices(root) if each.name == "sdb"]
    assert (card.bus, card.port, card.serial) == ("usb", "1-2.3:1", "000000001206")
    assert (card.size_bytes, card.number, card.removable) == (62_333_952 * 512, "8:16", True)
    assert card.model == "STORAGE DEVICE"
    assert card.token == "sdb:1206"  # noqa: S105 - what a person types
    assert refusals(card, Policy(size_min_bytes=1), root) == []


def test_an_encrypted_root_protects_the_disk_below(root: Path) -> None:
    _mounts(root, "22 1 253:0 / / rw - ext4 /dev/mapper/root rw", "23 22 259:1 / /boot rw - ext4 x")
    assert uses(root)["nvme0n1"] == ["/", "/boot", "a part of dm-0"]


def test_a_btrfs_home_is_found_by_its_source(root: Path) -> None:
    _mounts(root, "22 1 0:31 /home /home rw - btrfs /dev/sdb1 rw")
    assert uses(root)["sdb"] == ["/home"]


def test_swap_on_a_partition_protects_its_disk(root: Path) -> None:
    _write(root / "proc/swaps", "Filename Type Size Used Priority\n/dev/sdb1 partition 1 0 -2\n")
    assert uses(root)["sdb"] == ["swap"]


def test_a_part_of_a_raid_protects_its_disk(root: Path) -> None:
    place = "sys/devices/virtual/block/md0"
    _disk(root, place, "9:0", size=1000, removable="0")
    _link(root, f"{READER}/sdb1/holders/md0", place)
    assert uses(root)["sdb"] == ["a part of md0"]
    (card,) = [each for each in list_devices(root) if each.name == "sdb"]
    assert refusals(card, Policy(size_min_bytes=1), root) == ["holds a part of md0"]


def test_an_automatic_mount_of_a_desktop_is_named(root: Path) -> None:
    _mounts(root, r"40 22 8:17 / /media/budi/BOOT\040FS rw - vfat /dev/sdb1 rw")
    assert uses(root)["sdb"] == ["/media/budi/BOOT FS"]


def test_no_medium_no_device(root: Path) -> None:
    _write(root / READER / "size", "0")
    assert "sdb" not in [each.name for each in list_devices(root)]
