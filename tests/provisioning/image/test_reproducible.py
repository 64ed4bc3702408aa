"""The same inputs give the same image, bit by bit, and stay within the limits of a card."""

import mmap
from pathlib import Path

import pytest
import zstandard

from provisioning.image.boot.fat_files import read_file
from provisioning.image.boot.partitions import read_partitions
from provisioning.image.build import build_image, default_cache
from provisioning.image.describe import Description, read_description, verify
from provisioning.image.order import Order

BOOT_A = 2
pytestmark = [pytest.mark.long, pytest.mark.timeout(7200)]


def test_the_image_is_small_and_as_described(built: tuple[Path, Description]) -> None:
    folder, description = built
    assert description.root_bytes <= 900 * 10**6
    assert description.compressed.size_bytes <= 350 * 10**6
    assert len(verify(folder, description)) == 4
    assert len(description.agent_release) == 64
    assert {"systemd", "linux-image-arm64", "cloud-init", "rauc", "hostapd"} <= {
        *description.packages
    }
    assert not {"apt", "unattended-upgrades"} & {*description.packages}


def test_nothing_of_the_builder_is_left_in_it(built: tuple[Path, Description]) -> None:
    folder, description = built
    card = folder / description.image.name
    with card.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as whole:
        # The interpreter that programs name (elf(5)); that the node's is found shows the way.
        assert whole.find(b"\0/lib64/ld-linux-x86-64.so.2\0") < 0
        assert whole.find(b"\0/lib/ld-linux-aarch64.so.1\0") > 0
    early = initramfs(card)
    assert b"aarch64-linux-gnu" in early
    assert b"x86_64-linux-gnu" not in early


def initramfs(card: Path) -> bytes:
    """Return what is packed in the initramfs, behind its uncompressed early part."""
    file = read_file(card, read_partitions(card)[BOOT_A], "initrd.img")
    assert file is not None
    packed = file[file.index(zstandard.MAGIC_NUMBER.to_bytes(4, "little")) :]
    return zstandard.ZstdDecompressor().decompressobj().decompress(packed)


def test_a_build_from_nothing_is_identical(built: tuple[Path, Description], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    # Packages may be kept: they are inputs, checked by their SHA-256. Layers are not.
    (cache / "debian").symlink_to(default_cache() / "debian")
    order = Order(version=built[1].version, output=tmp_path / "out", cache=cache)
    again = read_description(build_image(order, print))
    assert again.image.sha256 == built[1].image.sha256
    assert again.compressed.sha256 == built[1].compressed.sha256
