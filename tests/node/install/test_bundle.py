"""A bundle carries what it says or is refused, wherever it was cut or changed."""

import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from services.releases import SITE, Signers, small_bundle

from node.install.bundle import MAGIC, read_bundle, unpack_object, write_bundle
from node.install.errors import BundleError, TrustError
from node.install.manifest import File, Manifest, encode_manifest
from provisioning.release.sign import verify_bundle

FILES = {
    "bin/simpul-node": b"#!/bin/sh\n",
    f"{SITE}/node/__init__.py": b'"""Is."""\n',
    f"{SITE}/node/large.bin": bytes(range(256)) * 4096,
    f"{SITE}/node/empty": b"",
}


def content(bundle: Path) -> dict[str, bytes]:
    read = read_bundle(bundle)
    return {
        each.path: b"".join(unpack_object(read, each.sha256, each.size_bytes))
        for each in read.manifest.files
        if each.sha256
    }


def test_what_went_in_comes_out(tmp_path: Path) -> None:
    assert content(small_bundle(tmp_path, FILES)) == FILES


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(files=st.dictionaries(st.sampled_from("abcdef"), st.binary(max_size=3000), min_size=1))
def test_any_content_comes_out(tmp_path: Path, files: dict[str, bytes]) -> None:
    packed = {f"lib/{name}": data for name, data in files.items()}
    assert content(small_bundle(tmp_path, packed)).items() >= packed.items()


def test_cut_anywhere_it_is_refused(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path, {"bin/simpul-node": b"#!/bin/sh\n", "lib/a": b"a" * 40})
    whole = bundle.read_bytes()
    for length in range(len(whole)):
        bundle.write_bytes(whole[:length])
        with pytest.raises(BundleError):
            content(bundle)


def test_more_at_the_end_is_refused(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path, FILES)
    bundle.write_bytes(bundle.read_bytes() + b"x")
    with pytest.raises(BundleError, match="bytes instead of"):
        read_bundle(bundle)


def test_changed_anywhere_it_is_refused(tmp_path: Path) -> None:
    small = {"bin/simpul-node": b"#!/bin/sh\n", "lib/a": b"a" * 40}
    signers = Signers()
    bundle = small_bundle(tmp_path, small, signers=signers.keys[:2])
    verify_bundle(bundle, signers.trust)
    whole = bundle.read_bytes()
    signatures = range(len(MAGIC) + 12, whole.index(b'{"format"'))  # see test_signatures
    for index in {*range(len(whole))} - {*signatures}:
        changed = bytearray(whole)
        changed[index] ^= 1
        bundle.write_bytes(changed)
        with pytest.raises((BundleError, TrustError)):
            verify_bundle(bundle, signers.trust)


def bundle_with(tmp_path: Path, entry: File, packed: dict[str, bytes]) -> Path:
    manifest = Manifest(version="1", counter=1, platform="aarch64", python="3.13", files=(entry,))
    file = tmp_path / "made.bundle"
    with file.open("wb") as out:
        write_bundle(out, encode_manifest(manifest), (), packed)
    return file


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    entry = File(path="a", size_bytes=10, sha256="ab" * 32)
    bomb = zlib.compress(bytes(50_000_000), 9)
    read = read_bundle(bundle_with(tmp_path, entry, {entry.sha256: bomb}))
    unpacked: list[bytes] = []
    with pytest.raises(BundleError, match="more than its 10 bytes"):
        unpacked.extend(unpack_object(read, entry.sha256, entry.size_bytes))
    assert sum(map(len, unpacked)) <= 11


def test_a_stream_that_never_ends_is_refused(tmp_path: Path) -> None:
    entry = File(path="a", size_bytes=5, sha256="ab" * 32)
    for packed in (zlib.compress(b"hello")[:-4], b"not zlib", zlib.compress(b"hell")):
        read = read_bundle(bundle_with(tmp_path, entry, {entry.sha256: packed}))
        with pytest.raises(BundleError, match="object abab"):
            list(unpack_object(read, entry.sha256, entry.size_bytes))


def test_an_object_of_nobody_is_refused(tmp_path: Path) -> None:
    entry = File(path="a", size_bytes=5, sha256="ab" * 32)
    with pytest.raises(BundleError, match="not of this release"):
        read_bundle(bundle_with(tmp_path, entry, {"cd" * 32: b"x"}))


def test_lengths_from_a_stranger_do_not_fill_the_memory(tmp_path: Path) -> None:
    file = tmp_path / "b"
    file.write_bytes(MAGIC + struct.pack(">III", 2**32 - 1, 2**32 - 1, 2**32 - 1))
    with pytest.raises(BundleError, match="at most"):
        read_bundle(file)


@pytest.mark.parametrize("text", [b"", b"PK\x03\x04", MAGIC, MAGIC[:-1] + b"2" + bytes(100)])
def test_another_file_is_no_bundle(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "b"
    file.write_bytes(text)
    with pytest.raises(BundleError, match="fetch it again"):
        read_bundle(file)
    with pytest.raises(BundleError, match="cannot be read: Is a directory"):
        read_bundle(tmp_path)
