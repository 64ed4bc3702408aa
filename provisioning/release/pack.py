"""Packs trees as bundles, and bundles as deltas against what nodes have already."""

import hashlib
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from node.install.bundle import Bundle, read_bundle, write_bundle
from node.install.errors import BundleError
from node.install.manifest import File, Manifest, decode_manifest, encode_manifest, release_hash
from node.install.signatures import Signature
from provisioning.release.errors import BuildError

_ZLIB_LEVEL = 9


class Packed(Struct, frozen=True):
    """A bundle that was written: the release's hash, the file, and its size unpacked."""

    release: str
    bundle: Path
    unpacked_bytes: int


def pack_tree(tree: Path, output: Path, empty: Manifest, *, name: str = "simpul") -> Packed:
    """Pack the files in `tree` as a bundle; `empty` says everything of it but the files.

    Owners and times are not kept, and of modes only whether a file may be executed, so the release
    depends on names and contents alone. Raises BuildError.
    """
    files = [*_files(tree), File(path="bin/python", link=f"/usr/bin/python{empty.python}")]
    manifest = msgspec.structs.replace(empty, files=tuple(files))
    text = encode_manifest(manifest)
    decode_manifest(text)  # refuse here what a node would refuse
    packed = {
        each.sha256: zlib.compress((tree / each.path).read_bytes(), _ZLIB_LEVEL)
        for each in files
        if each.sha256
    }
    bundle = output / (
        f"{name}-{empty.version}-{empty.counter}-{empty.platform}-py{empty.python}.bundle"
    )
    _write(bundle, text, (), packed)
    return Packed(release_hash(text), bundle, manifest.size_bytes)


def make_delta(bundle: Path, base: Path, output: Path) -> Path:
    """Write to `output` what `bundle` has and the release in `base` lacks, signatures and all.

    A node which has the base installs it as it would the whole. Raises BuildError, BundleError.
    """
    whole, known = read_bundle(bundle), read_bundle(base).manifest
    if (whole.manifest.platform, whole.manifest.python) != (known.platform, known.python):
        raise BundleError(f"{base}: for {known.platform} and Python {known.python}; choose another")
    packed = _objects(whole, without={each.sha256 for each in known.files})
    _write(output, whole.manifest_text, whole.signatures, packed)
    return output


def delta_name(bundle: Path, base: Path) -> str:
    """Return what the delta between the releases of two files is called."""
    return f"{bundle.stem}-from-{base.stem}.delta"


def replace_signatures(bundle: Path, signatures: tuple[Signature, ...]) -> None:
    """Replace the signatures in `bundle`, in place and whole. Raises BuildError, BundleError."""
    read = read_bundle(bundle)
    _write(bundle, read.manifest_text, signatures, _objects(read, without=set()))


def _objects(bundle: Bundle, *, without: set[str]) -> dict[str, bytes]:
    with bundle.file.open("rb") as stream:
        return {
            name: os.pread(stream.fileno(), length, offset)
            for name, (offset, length) in bundle.offsets.items()
            if name not in without
        }


def _write(
    file: Path, manifest: bytes, signatures: tuple[Signature, ...], packed: dict[str, bytes]
) -> None:
    beside = file.with_name(f".{file.name}.new")
    try:
        with beside.open("wb") as out:
            write_bundle(out, manifest, signatures, packed)
        beside.replace(file)
    except OSError as error:
        raise BuildError(f"{file}: cannot be written: {error.strerror}") from error


def _files(tree: Path) -> Iterator[File]:
    for file in sorted(tree.rglob("*")):
        path = file.relative_to(tree).as_posix()
        if file.is_symlink():
            raise BuildError(f"{path}: a wheel brought a symlink; releases hold none")
        if file.is_file():
            content = file.read_bytes()
            yield File(
                path=path,
                mode=0o755 if file.stat().st_mode & 0o100 else 0o644,
                size_bytes=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
            )
