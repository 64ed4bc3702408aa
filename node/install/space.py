"""Tells whether a disk has room for what is to come, and some to spare for the agent."""

import os
from pathlib import Path

from node.install.errors import InstallError

SPARE_BYTES = 16 * 2**20


def check_space(folder: Path, bytes_to_come: int) -> None:
    """Return when the disk of `folder` takes so many bytes more. Raises InstallError."""
    block = os.statvfs(folder)
    free_bytes = block.f_bavail * block.f_frsize
    needed_bytes = bytes_to_come + SPARE_BYTES
    if needed_bytes > free_bytes:
        raise InstallError(
            f"{folder}: {free_bytes >> 20} MiB free, {needed_bytes >> 20} MiB needed; "
            "remove old releases"
        )
