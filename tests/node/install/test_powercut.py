"""The power may be cut at any write of the installer: what the node runs then is complete."""

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from services.guest import Drive, run_in_guest, why_no_guest
from services.install_node import Node, make_node
from services.powercut import replay, sparse_copy
from services.powercut_ext4 import Ext4Error, recover

from node.install.errors import InstallStateError
from node.install.lay_down import lay_down
from node.install.machine import Machine
from node.install.places import Places
from node.install.service import NoService
from node.install.state import read_state
from node.install.steps import resume
from node.install.tree import broken_files

ROOT = Path(__file__).parents[3]
DISK_BYTES = 24 << 20
# The node's own Python checks the settings in the guest: here only the installer's writes count.
CHECKED = "exit 0"
COMMAND = """set -e
modprobe virtio_blk; modprobe ext4; mkdir -p /mnt
cd {root}
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={root}
mount -t ext4 /dev/vda /mnt
{python} tests/guest/install_steps.py /mnt /run/guest/good /run/guest/bad
umount /mnt
mount -t ext4 /dev/vdb /mnt
{python} tests/guest/install_steps.py /mnt /run/guest/good /run/guest/bad no-fsync
umount /mnt
"""

pytestmark = [
    pytest.mark.guest,
    pytest.mark.skipif(bool(why_no_guest()), reason=why_no_guest()),
    pytest.mark.timeout(3000),
]


def base_disk(node: Node, folder: Path) -> Path:
    """Return an ext4 that holds a node with a first release, as an image does."""
    lay_down(node.bundle(1), node.root)
    places = Places(node.root)
    disk = folder / "base"
    with disk.open("wb") as file:
        file.truncate(DISK_BYTES)
    assert places.current.resolve().is_dir()
    subprocess.run(["mkfs.ext4", "-q", "-d", str(node.root), str(disk)], check=True)
    return disk


def found_after(disk: Path, folder: Path) -> str:
    """Say what a node finds on a recovered `disk`: the counter of what runs, or what is broken."""
    root = folder / "root"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    dump = ["debugfs", "-R", f"rdump /opt /etc {root}", str(disk)]
    subprocess.run(dump, check=True, capture_output=True)
    places = Places(root)
    for link in (places.current, places.confirmed):
        if not link.is_symlink() or broken_files(places.releases / link.readlink().name):
            return f"broken: {link.name}"
    try:
        read_state(places.state)
        resume(Machine(places, NoService()), booting=True)
    except InstallStateError:
        return "broken: record"
    state = read_state(places.state)
    if state.phase != "idle" or places.current.resolve().name != state.confirmed:
        return "broken: not settled"
    if broken_files(places.current.resolve()):
        return "broken: settled on what is broken"
    return state.confirmed[:8]


def cuts(base: Path, log: Path, folder: Path) -> Counter[str]:
    seen: Counter[str] = Counter()
    for crash in replay(base, log, folder):
        try:
            disk = recover(crash.disk, folder / "recovered")
        except Ext4Error:
            seen["damaged"] += 1
            continue
        seen[found_after(disk, folder)] += 1
    return seen


@pytest.mark.long
def test_every_power_cut_leaves_a_complete_release(tmp_path: Path) -> None:
    node = make_node(tmp_path)
    base = base_disk(node, tmp_path)
    exchange = tmp_path / "guest"
    exchange.mkdir()
    shutil.copy(node.bundle(2, check=CHECKED), exchange / "good")
    shutil.copy(node.bundle(3, check=CHECKED), exchange / "bad")
    drives = [Drive(tmp_path / name, tmp_path / f"{name}.log") for name in ("with", "without")]
    for drive in drives:
        sparse_copy(base, drive.file)
    ran = run_in_guest(COMMAND.format(root=ROOT, python=sys.executable), exchange, drives=drives)
    assert ran.status == 0, ran.output
    kept, lost = (cuts(base, tmp_path / f"{d.file.name}.log", tmp_path) for d in drives)
    print(f"with fsync: {dict(kept)}; without: {dict(lost)}")  # noqa: T201 - the figures
    assert not [what for what in kept if what.startswith(("broken", "damaged"))], kept
    assert len(kept) == 2, "it was cut on both sides of the flip"
    assert kept.total() > 100
    assert [what for what in lost if what.startswith("broken")], "this test could not fail"
