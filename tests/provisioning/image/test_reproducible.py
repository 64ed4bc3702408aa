"""The same inputs give the same image, bit by bit, and stay within the limits of a card."""

from pathlib import Path

import pytest

from provisioning.image.build import build_image, default_cache
from provisioning.image.describe import Description, read_description, verify
from provisioning.image.order import Order

MIB = 1 << 20
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


def test_two_builds_from_nothing_are_identical(tmp_path: Path) -> None:
    sums = []
    for name in ("one", "two"):
        cache = tmp_path / name / "cache"
        # Packages may be kept: they are inputs, checked by their SHA-256. Layers are not.
        cache.mkdir(parents=True)
        (cache / "debian").symlink_to(default_cache() / "debian")
        order = Order(version="1.2.3", output=tmp_path / name, cache=cache)
        description = read_description(build_image(order, print))
        sums.append((description.image.sha256, description.compressed.sha256))
    assert sums[0] == sums[1]
