"""Describes an image for those who flash it: our own description, and an entry for rpi-imager.

rpi-imager's repository format: https://github.com/raspberrypi/rpi-imager (doc/schema).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from provisioning.image import layout
from provisioning.image.errors import ImageError

_CHUNK_BYTES = 1 << 20
# Our names of boards -> rpi-imager's.
_IMAGER_DEVICES = {
    "cm4": "pi4-64bit",
    "pi3": "pi3-64bit",
    "pi4": "pi4-64bit",
    "pi5": "pi5-64bit",
    "zero2w": "pi3-64bit",
}
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file beside the description."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+~-]*\Z")]
    size_bytes: Annotated[int, Meta(ge=0)]
    sha256: Sha256


class Description(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `NAME.json` says of an image."""

    format: int = 1
    name: str
    title: str
    flavour: str
    variant: str
    version: str
    image_id: str
    agent_release: str
    boards: tuple[str, ...]
    image: File
    """The raw image; beside the description it may lie compressed only."""
    compressed: File
    bmap: File
    sbom: File
    mapped_bytes: int
    root_bytes: int
    disk_signature: str
    packages: Mapping[str, str]
    """Debian packages and their versions."""


def file_of(path: Path) -> File:
    """Return name, size and SHA-256 of a file. Raises ImageError."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(_CHUNK_BYTES):
                digest.update(piece)
        return File(name=path.name, size_bytes=path.stat().st_size, sha256=digest.hexdigest())
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror}") from error


def encode(description: Description) -> bytes:
    """Return the text of a description."""
    return msgspec.json.format(msgspec.json.encode(description)) + b"\n"


def read_description(file: Path) -> Description:
    """Return the description in `file`. Raises ImageError."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Description)
    except OSError as error:
        raise ImageError(f"{file}: cannot be read: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ImageError(f"{file}: not the description of an image: {error}") from error


def imager_entry(description: Description, address: str, epoch_seconds: int) -> str:
    """Return a repository for rpi-imager that offers this image below `address`."""
    released = datetime.fromtimestamp(epoch_seconds, UTC).strftime("%Y-%m-%d")
    entry = {
        "name": description.title,
        "description": f"Simpul {description.version}, {description.flavour} {description.variant}",
        "icon": "",
        "url": f"{address.rstrip('/')}/{description.compressed.name}",
        "extract_size": description.image.size_bytes,
        "extract_sha256": description.image.sha256,
        "image_download_size": description.compressed.size_bytes,
        "image_download_sha256": description.compressed.sha256,
        "release_date": released,
        "init_format": "cloudinit",
        "devices": _devices(description.boards),
    }
    return json.dumps({"os_list": [entry]}, indent=1) + "\n"


def verify(folder: Path, description: Description) -> list[str]:
    """Return the names of the files found good; what is not there raises ImageError.

    The raw image may be missing: what is flashed is its compressed form.
    """
    good = []
    for file in (description.image, description.compressed, description.bmap, description.sbom):
        path = folder / file.name
        if file is description.image and not path.exists():
            continue
        found = file_of(path)
        if found != file:
            raise ImageError(
                f"{path}: SHA-256 {found.sha256[:16]} with {found.size_bytes} bytes, but its"
                f" description says {file.sha256[:16]} with {file.size_bytes}; copy or build it"
                " anew"
            )
        good.append(file.name)
    return good


def disk_signature() -> str:
    """Return the signature that every image has, as PARTUUIDs begin."""
    return f"{layout.DISK_SIGNATURE:08x}"


def _devices(boards: Iterable[str]) -> list[str]:
    return sorted({_IMAGER_DEVICES[each] for each in boards if each in _IMAGER_DEVICES})
