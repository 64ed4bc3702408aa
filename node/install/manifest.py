"""What a release consists of, file by file: the text that is hashed, signed and installed by.

A release is named by the SHA-256 of its manifest's bytes, so a name vouches for every file.
"""

import hashlib
import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from node.install.errors import BundleError

MANIFEST_BYTES_MAX = 16 * 2**20
MANIFEST_NAME = "manifest.json"
_FILE_BYTES_MAX = 256 * 2**20
_RELEASE_BYTES_MAX = 2 * 2**30
_LINK_TARGET = re.compile(r"/usr/bin/python3\.[0-9]{1,2}")
_NAME_BYTES_MAX = 255  # NAME_MAX, limits.h(0p)

Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One file of a release; `link` names the interpreter a symlink points at, else empty."""

    path: Annotated[str, Meta(min_length=1, max_length=1024)]
    mode: Literal[0o644, 0o755] = 0o644
    size_bytes: Annotated[int, Meta(ge=0, le=_FILE_BYTES_MAX)] = 0
    sha256: Sha256 | Literal[""] = ""
    link: str = ""


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a release is; `counter` only ever rises from release to release."""

    format: Literal[1] = 1
    version: Annotated[str, Meta(min_length=1, max_length=64)]
    counter: Annotated[int, Meta(ge=1, le=2**53)]
    platform: Literal["aarch64", "x86_64"]
    python: Annotated[str, Meta(pattern=r"^3\.[0-9]{1,2}\Z")]
    files: Annotated[tuple[File, ...], Meta(min_length=1, max_length=50_000)]

    @property
    def size_bytes(self) -> int:
        """Bytes of all files, unpacked."""
        return sum(each.size_bytes for each in self.files)


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the canonical bytes: files by path, fields in their order, no spaces."""
    files = tuple(sorted(manifest.files, key=lambda each: each.path))
    return msgspec.json.encode(msgspec.structs.replace(manifest, files=files)) + b"\n"


def decode_manifest(text: bytes) -> Manifest:
    """Return the manifest in `text`. Raises BundleError for anything not safe to install."""
    if len(text) > MANIFEST_BYTES_MAX:
        raise BundleError(f"manifest: {len(text)} bytes; at most {MANIFEST_BYTES_MAX} are read")
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"manifest: {error}; build the release anew") from error
    _check_paths(manifest)
    if manifest.size_bytes > _RELEASE_BYTES_MAX:
        raise BundleError(f"manifest: {manifest.size_bytes} bytes unpacked is too large")
    return manifest


def release_hash(manifest_text: bytes) -> str:
    """Return the name of the release with this manifest: SHA-256, 64 hexadecimal digits."""
    return hashlib.sha256(manifest_text).hexdigest()


def _check_paths(manifest: Manifest) -> None:
    """Refuse a path that leaves the tree, or a file below another file or link."""
    paths: set[str] = set()
    for each in manifest.files:
        where = f"manifest: {each.path!r}"
        parts = each.path.split("/")
        if any(part in {"", ".", ".."} or _unfit(part) for part in parts):
            raise BundleError(f"{where}: not a plain path inside the release; refused")
        if each.path in paths or each.path == MANIFEST_NAME:
            raise BundleError(f"{where}: named twice; refused")
        if each.link and not _LINK_TARGET.fullmatch(each.link):
            raise BundleError(f"{where}: links to {each.link!r}, outside the release; refused")
        if bool(each.link) == bool(each.sha256):
            raise BundleError(f"{where}: needs either sha256 or link; refused")
        if each.link and each.size_bytes:
            raise BundleError(f"{where}: a link has no size; refused")
        paths.add(each.path)
    for path in paths:
        parts = path.split("/")
        if any("/".join(parts[:count]) in paths for count in range(1, len(parts))):
            raise BundleError(f"manifest: {path!r}: lies below what is no directory; refused")


def _unfit(part: str) -> bool:
    try:
        length = len(part.encode())
    except UnicodeEncodeError:
        return True
    return length > _NAME_BYTES_MAX or any(ord(letter) < ord(" ") for letter in part)
