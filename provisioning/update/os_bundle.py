"""Reads from a RAUC bundle which version of the system is in it; nodes judge whether to believe it.

A bundle ends with its signature (CMS, RFC 5652, around the manifest) and eight bytes that say how
long that is (RAUC reference, "Bundle Formats", verity).
"""

import os
import re
from pathlib import Path

from msgspec import Struct

from provisioning.update.errors import PlanError

_SIGNATURE_BYTES_MAX = 64 * 1024
_VERSION = re.compile(rb"\[update\]\n(?:[^\[\n]*\n)*?version=([0-9A-Za-z.-]{1,64})\n")


class OsBundle(Struct, frozen=True):
    """A bundle at the station, and the version of the system in it."""

    file: Path
    version: str


def read_os_bundle(file: Path) -> OsBundle:
    """Return what a bundle says of itself. Raises PlanError for what is none."""
    try:
        with file.open("rb") as handle:
            size_bytes = handle.seek(0, os.SEEK_END)
            handle.seek(max(0, size_bytes - 8))
            signature_bytes = int.from_bytes(handle.read(8))
            if not 0 < signature_bytes <= min(_SIGNATURE_BYTES_MAX, size_bytes - 8):
                raise PlanError(f"{file}: is no RAUC bundle; see simpul image --help")
            handle.seek(size_bytes - 8 - signature_bytes)
            signature = handle.read(signature_bytes)
    except OSError as error:
        raise PlanError(f"{file}: {error.strerror}") from error
    found = _VERSION.search(signature)
    if found is None:
        raise PlanError(f"{file}: its manifest names no version; make it by simpul image bundle")
    return OsBundle(file, found[1].decode())
