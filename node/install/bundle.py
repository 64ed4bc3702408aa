"""The bundle: one file that carries a release, whole or only what an earlier one lacks.

Layout: the magic; three lengths (32 bits, big-endian); signatures, manifest and index (JSON); then
the objects, each a file's content under zlib (RFC 1950), in the order of the index. Of these only
the manifest is signed; every object is checked against it.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
from msgspec import Meta, Struct

from node.install.errors import BundleError
from node.install.manifest import MANIFEST_BYTES_MAX, Manifest, Sha256, decode_manifest
from node.install.signatures import SIGNATURES_BYTES_MAX, Signature, decode_signatures

MAGIC = b"simpul-bundle-1\n"
_LENGTHS = struct.Struct(">III")
_CHUNK_BYTES = 256 * 1024
_Index = tuple[tuple[Sha256, Annotated[int, Meta(ge=1, le=2**40)]], ...]


class Bundle(Struct, frozen=True):
    """The head of a bundle; `offsets` tells where an object lies: (offset, length) in bytes."""

    file: Path
    signatures: tuple[Signature, ...]
    manifest_text: bytes
    manifest: Manifest
    offsets: Mapping[str, tuple[int, int]]


def write_bundle(
    out: BinaryIO,
    manifest_text: bytes,
    signatures: tuple[Signature, ...],
    packed: Mapping[str, bytes],
) -> None:
    """Write a bundle with the `packed` objects (SHA-256 of the content -> zlib stream)."""
    names = sorted(packed)
    index = msgspec.json.encode([(name, len(packed[name])) for name in names])
    head = msgspec.json.encode(signatures)
    out.write(MAGIC + _LENGTHS.pack(len(head), len(manifest_text), len(index)))
    out.write(head + manifest_text + index)
    out.writelines(packed[name] for name in names)


def read_bundle(file: Path) -> Bundle:
    """Read the head of `file`; nothing is unpacked.

    Raises BundleError when it is no bundle, is truncated, or its manifest is not safe.
    """
    try:
        with file.open("rb") as stream:
            return _read_head(file, stream)
    except OSError as error:
        raise BundleError(f"{file}: cannot be read: {error.strerror}") from error


def _read_head(file: Path, stream: BinaryIO) -> Bundle:
    size_bytes = stream.seek(0, 2)
    stream.seek(0)
    if stream.read(len(MAGIC)) != MAGIC:
        raise BundleError(f"{file}: not a release bundle; fetch it again")
    lengths = _LENGTHS.unpack(_exactly(file, stream, _LENGTHS.size))
    for length, most in zip(
        lengths, (SIGNATURES_BYTES_MAX, MANIFEST_BYTES_MAX, MANIFEST_BYTES_MAX), strict=True
    ):
        if length > most:
            raise BundleError(f"{file}: its head claims {length} bytes; at most {most} are read")
    head, manifest_text, index_text = (_exactly(file, stream, length) for length in lengths)
    manifest = decode_manifest(manifest_text)
    try:
        index = msgspec.json.decode(index_text, type=_Index)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{file}: index: {error}; fetch it again") from error
    known = {each.sha256 for each in manifest.files}
    offsets: dict[str, tuple[int, int]] = {}
    offset = stream.tell()
    for name, length in index:
        if name not in known or name in offsets:
            raise BundleError(f"{file}: object {name[:16]} is not of this release; refused")
        offsets[name] = (offset, length)
        offset += length
    if offset != size_bytes:
        raise BundleError(f"{file}: {size_bytes} bytes instead of {offset}; fetch it again")
    return Bundle(file, decode_signatures(head), manifest_text, manifest, offsets)


def _exactly(file: Path, stream: BinaryIO, length: int) -> bytes:
    data = stream.read(length)
    if len(data) != length:
        raise BundleError(f"{file}: ends in its head; fetch it again")
    return data


def unpack_object(bundle: Bundle, sha256: str, size_bytes: int) -> Iterator[bytes]:
    """Yield the content of one object in pieces.

    Raises BundleError when it is not exactly `size_bytes` long or not what its name says; no more
    than `size_bytes` are ever unpacked.
    """
    where = f"{bundle.file}: object {sha256[:16]}"
    offset, left = bundle.offsets[sha256]
    digest, done = hashlib.sha256(), 0
    inflate = zlib.decompressobj()
    with bundle.file.open("rb") as stream:
        stream.seek(offset)
        data = b""
        while not inflate.eof:
            if not data and not left:
                raise BundleError(f"{where}: ends too early; fetch it again")
            if not data:
                data = stream.read(min(left, _CHUNK_BYTES))
                left = left - len(data) if data else 0
            try:
                piece = inflate.decompress(data, min(_CHUNK_BYTES, size_bytes - done + 1))
            except zlib.error as error:
                raise BundleError(f"{where}: {error}; fetch it again") from error
            data = inflate.unconsumed_tail
            done += len(piece)
            if done > size_bytes:
                raise BundleError(f"{where}: unpacks to more than its {size_bytes} bytes; refused")
            digest.update(piece)
            yield piece
    if done != size_bytes or digest.hexdigest() != sha256:
        raise BundleError(f"{where}: its content is not what the manifest says; refused")
