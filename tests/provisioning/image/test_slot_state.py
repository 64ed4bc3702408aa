"""The writable state of a slot: made once for each image, and never at the other slot's cost."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

BASE = Path(__file__).parents[3] / "images/layers/base/files/usr/lib/simpul"
BUSYBOX = Path("/bin/busybox")
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not BUSYBOX.exists(), reason="needs root (chroot) and busybox-static"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a root that has the script, the shares and a shell."""
    for folder in ("bin", "usr/lib/simpul", "data", "var/lib/simpul", "home/technician"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copyfile(BUSYBOX, tmp_path / "bin/busybox")
    (tmp_path / "bin/busybox").chmod(0o755)
    for name in ("sh", "cat", "cp", "dirname", "grep", "mkdir", "mv", "rm", "sync", "["):
        (tmp_path / "bin" / name).symlink_to("busybox")
    for name in ("slot-state", "shares"):
        shutil.copy(BASE / name, tmp_path / "usr/lib/simpul" / name)
    (tmp_path / "home/technician").chmod(0o700)
    install(tmp_path, "one")
    return tmp_path


def install(root: Path, image: str) -> None:
    (root / "usr/lib/simpul/image-id").write_text(f"{image}\n")


def boot(root: Path, slot: str) -> None:
    command = ["chroot", str(root), "/usr/lib/simpul/slot-state", slot]
    subprocess.run(command, check=True, capture_output=True, env={"PATH": "/bin:/usr/sbin"})


def etc(root: Path, slot: str) -> Path:
    return root / f"data/slots/{slot}/etc/upper"


def test_the_first_boot_makes_state_and_shares(root: Path) -> None:
    boot(root, "a")
    for name in ("etc", "var", "opt-simpul"):
        assert (root / f"data/slots/a/{name}/upper").is_dir()
        assert (root / f"data/slots/a/{name}/work").is_dir()
    home = root / "data/shared/home/technician"
    assert home.is_dir()
    assert home.stat().st_mode & 0o777 == 0o700
    assert (root / "data/shared/var/lib/simpul").is_dir()


def test_the_same_image_keeps_its_state(root: Path) -> None:
    boot(root, "a")
    (etc(root, "a") / "hostname").write_text("taman-bunga\n")
    boot(root, "a")
    assert (etc(root, "a") / "hostname").read_text() == "taman-bunga\n"


def test_a_new_image_on_the_other_slot_begins_with_what_was_configured(root: Path) -> None:
    boot(root, "a")
    (etc(root, "a") / "simpul").mkdir()
    (etc(root, "a") / "simpul/node.toml").write_text("[node]\n")
    (etc(root, "a") / "passwd").write_text("of the older image\n")
    (root / "data/slots/a/var/upper/log").write_text("a")
    install(root, "two")
    boot(root, "b")
    assert (etc(root, "b") / "simpul/node.toml").read_text() == "[node]\n"
    assert not (etc(root, "b") / "passwd").exists(), "accounts are part of the image"
    assert not (root / "data/slots/b/var/upper/log").exists()
    (etc(root, "b") / "simpul/node.toml").write_text("[node]\nchanged = true\n")
    assert (etc(root, "a") / "simpul/node.toml").read_text() == "[node]\n"
    assert (etc(root, "a") / "passwd").exists()


def test_a_third_image_replaces_the_state_of_its_slot(root: Path) -> None:
    boot(root, "a")
    install(root, "two")
    boot(root, "b")
    (etc(root, "b") / "hostname").write_text("two\n")
    install(root, "three")
    boot(root, "a")
    assert (etc(root, "a") / "hostname").read_text() == "two\n"
    assert not (root / "data/slots/a.old").exists()


def test_what_a_power_cut_left_half_made_is_made_anew(root: Path) -> None:
    half = root / "data/slots/a.new/etc/upper"
    half.mkdir(parents=True)
    (half / "hostname").write_text("half")
    (root / "data/shared/home.new").mkdir(parents=True)
    boot(root, "a")
    assert not (etc(root, "a") / "hostname").exists()
    assert (root / "data/shared/home/technician").is_dir()
    assert not (root / "data/shared/home.new").exists()
