"""Makes small card images that are like the real ones: two FATs, raw data, holes, map, zstd."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from provisioning.image.compress import compress

MIB = 2**20
SEED_FAT = (4 * MIB, 16 * MIB)  # where it starts, and its size


@dataclass(frozen=True, slots=True)
class CardImage:
    """An image, its map and its compressed form."""

    plain: Path
    map_file: Path
    packed: Path


def make_image(
    directory: Path, *, size_bytes: int = 64 * MIB, data_bytes: int = 24 * MIB
) -> CardImage:
    """Write an image with an MBR, a FAT labelled CIDATA, a boot FAT, and random data with holes."""
    plain = directory / "card.img"
    with plain.open("xb") as file:
        file.truncate(size_bytes)
    table = "label: dos\nlabel-id: 0x5349\nstart=4MiB, size=16MiB, type=c\nstart=20MiB, type=83\n"
    subprocess.run(["sfdisk", "--quiet", str(plain)], input=table, text=True, check=True)
    start, size = SEED_FAT
    format_fat(plain, start, size, "CIDATA")
    write_data(plain, 21 * MIB, data_bytes)
    map_file = directory / "card.img.bmap"
    create_map(plain, map_file)
    return CardImage(plain, map_file, compress(plain))


def make_image_without_fat(directory: Path) -> CardImage:
    """Write an image that boots nothing and takes no seed, for want of a FAT."""
    plain = directory / "card.img"
    with plain.open("xb") as file:
        file.truncate(32 * MIB)
    table = "label: dos\nstart=4MiB, type=83\n"
    subprocess.run(["sfdisk", "--quiet", str(plain)], input=table, text=True, check=True)
    write_data(plain, 5 * MIB, 8 * MIB)
    map_file = directory / "card.img.bmap"
    create_map(plain, map_file)
    return CardImage(plain, map_file, compress(plain))


def format_fat(image: Path, offset_bytes: int, size_bytes: int, label: str) -> None:
    """Make a FAT inside an image; what lies around it stays."""
    command = ["mkfs.vfat", "-F", "16", "--offset", str(offset_bytes // 512), "-n", label]
    subprocess.run([*command, str(image), str(size_bytes // 1024)], check=True, capture_output=True)


def write_data(image: Path, offset_bytes: int, size_bytes: int) -> None:
    """Write random data in pieces with holes between; a quarter of it compresses well."""
    piece = MIB
    with image.open("r+b") as file:
        for number in range(size_bytes // piece):
            file.seek(offset_bytes + number * (piece + 64 * 1024))
            file.write(os.urandom(piece) if number % 4 else b"simpul" * (piece // 6))


def create_map(image: Path, map_file: Path) -> None:
    """Make the map as bmaptool makes it."""
    subprocess.run(["bmaptool", "-q", "create", str(image), "-o", str(map_file)], check=True)
