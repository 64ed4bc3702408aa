"""Building an image with packages at hand, beside a plain debootstrap of the same packages."""

import resource
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from provisioning.image.archive import machine_mirrors
from provisioning.image.build import build_image
from provisioning.image.describe import Description, read_description
from provisioning.image.order import Order

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]


@contextmanager
def measured(name: str) -> Iterator[None]:
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    yield
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{name}: {time.monotonic() - start:.0f} s, {cpu:.0f} s of CPU")


def build(output: Path, cache: Path) -> Description:
    cache.mkdir(exist_ok=True)
    order = Order(version="1.2.3", output=output, cache=cache)
    return read_description(build_image(order, print))


def test_an_image_beside_a_plain_debootstrap(tmp_path: Path) -> None:
    bare, stocked = tmp_path / "bare", tmp_path / "stocked"
    with measured("image, nothing at hand"):
        description = build(tmp_path / "one", bare)
    stocked.mkdir()
    (stocked / "debian").symlink_to(bare / "debian")
    with measured("image, packages at hand, no layer built yet"):
        second = build(tmp_path / "two", stocked)
    with measured("image, every layer unchanged"):
        third = build(tmp_path / "two", stocked)
    for again in (second, third):
        assert again.image.sha256 == description.image.sha256
        assert again.compressed.sha256 == description.compressed.sha256
    print(f"image {description.image.sha256}, each time")
    print(f"root {description.root_bytes / 1e6:.0f} MB, of packages {len(description.packages)}")
    print(f".img.zst {description.compressed.size_bytes / 1e6:.0f} MB")
    if shutil.which("debootstrap") is None:
        pytest.skip("no debootstrap to compare with: apt-get install debootstrap")
    # By name: it does not find what a virtual one is provided by, nor another archive's kernel.
    packages = sorted(each for each in description.packages if "linux-image-6" not in each)
    root = tmp_path / "debootstrap"
    mirror = machine_mirrors()["Debian", "Debian"]
    command = [
        "debootstrap",
        "--arch=arm64",
        "--variant=minbase",
        "--components=main,non-free-firmware",
    ]
    command += [f"--include={','.join(packages)}", "trixie", str(root), mirror]
    with measured("debootstrap of the same packages"):
        subprocess.run(command, check=True, capture_output=True)
    used = subprocess.run(["du", "-sb", str(root)], check=True, capture_output=True, text=True)
    print(f"debootstrap's root {int(used.stdout.split()[0]) / 1e6:.0f} MB")
