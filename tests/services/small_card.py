"""Makes a card of the product's own layout in small: real FAT, erofs and ext4 file systems.

Its numbers, names and words are those of a built image; its boot and root hold next to nothing.
"""

import hashlib
import struct
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from provisioning.image import layout

_MIB = 1 << 20
_SECTOR_BYTES = 512


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of partitions."""

    boot_select_mib: int = 1
    boot_mib: int = 4
    root_mib: int = 12
    data_mib: int = 24


SMALL = Sizes()


def make_small_card(folder: Path, seed: int = 1) -> Path:
    """Return a raw card image made in `folder`; another seed gives another system."""
    boot = {"vmlinuz": _noise(seed, 300_000), "initrd.img": _noise(seed + 1, 500_000)}
    return make_card(folder, _root_tree(folder, seed), boot)


def make_card(
    folder: Path,
    root: Path,
    boot: Mapping[str, bytes],
    *,
    words: str = "",
    sizes: Sizes = SMALL,
) -> Path:
    """Return a raw card image made in `folder`.

    Its root is the tree `root`, its kernel and initramfs are in `boot`; `words` are further
    arguments of the kernel.
    """
    parts = [
        (0x0C, _select(folder), sizes.boot_select_mib),
        (0x0C, _boot(folder, "a", boot, words, sizes.boot_mib), sizes.boot_mib),
        (0x0C, _boot(folder, "b", boot, words, sizes.boot_mib), sizes.boot_mib),
        (0x83, _root(folder, root), sizes.root_mib),
        (0x83, None, sizes.root_mib),
        (0x83, _data(folder, sizes.data_mib), sizes.data_mib),
    ]
    card = folder / "card.img"
    with card.open("wb") as out:
        primary, start = [], _MIB
        for kind, file, size_mib in parts[:3]:
            primary.append((kind, start // _SECTOR_BYTES, size_mib * _MIB // _SECTOR_BYTES))
            _put(out, start, file)
            start += size_mib * _MIB
        extended = start // _SECTOR_BYTES
        rest_bytes = sum(_MIB + size_mib * _MIB for *_, size_mib in parts[3:])
        primary.append((0x05, extended, rest_bytes // _SECTOR_BYTES))
        _put_table(out, 0, primary)
        for index, (kind, file, size_mib) in enumerate(parts[3:]):
            size = size_mib * _MIB // _SECTOR_BYTES
            entries = [(kind, _MIB // _SECTOR_BYTES, size)]
            after = start // _SECTOR_BYTES + _MIB // _SECTOR_BYTES + size
            if index + 1 < len(parts[3:]):
                onwards = _MIB // _SECTOR_BYTES + parts[4 + index][2] * _MIB // _SECTOR_BYTES
                entries.append((0x05, after - extended, onwards))
            _put_table(out, start // _SECTOR_BYTES, entries)
            _put(out, start + _MIB, file)
            start = after * _SECTOR_BYTES
        out.truncate(start)
    return card


def _put_table(out: BinaryIO, sector: int, entries: list[tuple[int, int, int]]) -> None:
    signature = layout.DISK_SIGNATURE if sector == 0 else 0
    table = struct.pack("<I2x", signature)
    for kind, start, size in entries:
        table += struct.pack("<B3xB3xII", 0, kind, start, size)
    record = bytes(440) + table.ljust(70, b"\0") + b"\x55\xaa"
    out.seek(sector * _SECTOR_BYTES)
    out.write(record)


def _put(out: BinaryIO, start: int, file: Path | None) -> None:
    if file is not None:
        out.seek(start)
        out.write(file.read_bytes())


def _select(folder: Path) -> Path:
    return _fat(folder / "select", {"autoboot.txt": layout.AUTOBOOT}, SMALL.boot_select_mib)


def _boot(folder: Path, slot: str, boot: Mapping[str, bytes], words: str, size_mib: int) -> Path:
    root = layout.partuuid(layout.ROOT_PARTITION[slot])
    line = f"root=PARTUUID={root} rootfstype=erofs ro simpul.slot={slot} {words}".strip()
    files = {
        "config.txt": b"kernel=vmlinuz\ninitramfs initrd.img followkernel\ncmdline=cmdline.txt\n",
        "cmdline.txt": f"{line}\n".encode(),
        **boot,
    }
    return _fat(folder / f"boot-{slot}", files, size_mib)


def _fat(tree: Path, files: dict[str, bytes], size_mib: int) -> Path:
    tree.mkdir()
    image = tree.with_suffix(".vfat")
    command = ["mkfs.vfat", "--invariant", "-C", str(image), str(size_mib * 1024)]
    subprocess.run(command, check=True, capture_output=True)
    for name, content in files.items():
        (tree / name).write_bytes(content)
    names = [str(tree / name) for name in files]
    subprocess.run(["mcopy", "-i", str(image), *names, "::"], check=True)
    return image


def _root_tree(folder: Path, seed: int) -> Path:
    tree = folder / "root"
    (tree / "usr/lib").mkdir(parents=True)
    for number in range(4):
        (tree / f"usr/lib/part{number}").write_bytes(_noise(100 * seed + number, 1_500_000))
    return tree


def _root(folder: Path, tree: Path) -> Path:
    image = folder / "root.erofs"
    command = ["mkfs.erofs", "--quiet", "-T0", "-U", layout.ROOT_UUID, str(image), str(tree)]
    subprocess.run(command, check=True)
    return image


def _noise(seed: int, size_bytes: int) -> bytes:
    """Return what no compressor makes smaller, the same for the same seed."""
    return hashlib.shake_128(str(seed).encode()).digest(size_bytes)


def _data(folder: Path, size_mib: int) -> Path:
    image = folder / "data.ext4"
    with image.open("wb") as out:
        out.truncate(size_mib * _MIB)
    subprocess.run(["mkfs.ext4", "-q", "-L", "simpul-data", str(image)], check=True)
    return image
