"""Mounts small disks that fill up: an ext4 as on a card, or a tmpfs with few files; needs root."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MIB = 2**20


@contextmanager
def ext4_disk(file: Path, at: Path, size_bytes: int = 64 * MIB) -> Iterator[Path]:
    """Mount a new ext4 in `file`, of which nothing is kept back for root, at `at`."""
    with file.open("xb") as new:
        new.truncate(size_bytes)
    subprocess.run(["mkfs.ext4", "-q", "-m0", str(file)], check=True)
    with mounted("-o", "loop", str(file), at=at):
        yield at


@contextmanager
def mounted(*words: str, at: Path) -> Iterator[Path]:
    """Mount what `words` tell mount(8) at the folder `at`, which is made; unmount at the end."""
    at.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", *words, str(at)], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


def fill(disk: Path) -> Path:
    """Write until nothing more can be written; return the file."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size_bytes in (MIB, 4096, 1):
            with pytest.raises(OSError, match="No space left"):  # noqa: PT012 - whichever is last
                while True:
                    file.write(bytes(size_bytes))
    return filler
