"""Copies files out of and into a FAT partition of a card image, with mtools; nothing is mounted."""

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from provisioning.image.boot.errors import CardError
from provisioning.image.boot.partitions import Partition


def read_file(image: Path, partition: Partition, name: str) -> bytes | None:
    """Return the content of `name`; None when the partition holds no such file or is no FAT."""
    done = _mtools(["mtype", "-i", _place(image, partition), f"::{name}"])
    return done.stdout if done.returncode == 0 else None


def copy_file(image: Path, partition: Partition, name: str, to: Path) -> Path:
    """Copy `name` to `to` and return it. Raises CardError when it is not there."""
    done = _mtools(["mcopy", "-n", "-i", _place(image, partition), f"::{name}", str(to)])
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip()
        raise CardError(f"{image}: partition {partition.number}: no {name}: {reason}")
    return to


def write_files(image: Path, partition: Partition, files: Mapping[str, bytes]) -> None:
    """Write `files` to the root of `partition`, over what is there. Raises CardError."""
    with tempfile.TemporaryDirectory(prefix="simpul-fat-") as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        sources = [str(Path(folder) / name) for name in files]
        done = _mtools(["mcopy", "-o", "-i", _place(image, partition), *sources, "::"])
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip()
        raise CardError(f"{image}: partition {partition.number}: cannot be written: {reason}")


def _place(image: Path, partition: Partition) -> str:
    return f"{image}@@{partition.start_bytes}"


def _mtools(command: list[str]) -> subprocess.CompletedProcess[bytes]:
    # Without the check mtools refuses FATs whose size is no whole number of tracks.
    environment = {**os.environ, "MTOOLS_SKIP_CHECK": "1"}
    try:
        return subprocess.run(command, capture_output=True, check=False, env=environment)
    except FileNotFoundError as error:
        raise CardError(f"{command[0]} is missing: apt-get install mtools") from error
