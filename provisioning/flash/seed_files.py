"""Writes a seed into a mounted FAT, for cards that another program has written."""

import os
from collections.abc import Mapping
from pathlib import Path

from provisioning.flash.errors import StationError


def write_seed(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a seed, readable by you only, and have them kept. Raises StationError."""
    try:
        for name, content in files.items():
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(folder / name, flags, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
    except OSError as error:
        raise StationError(
            f"{folder}: the seed cannot be written: {error.strerror}; write the card anew"
        ) from error
