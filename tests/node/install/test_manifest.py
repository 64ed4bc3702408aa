"""A manifest is canonical, and nothing in it can lead out of its own directory."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.install.errors import BundleError
from node.install.manifest import (
    MANIFEST_BYTES_MAX,
    File,
    Manifest,
    decode_manifest,
    encode_manifest,
    release_hash,
)

SHA = "ab" * 32
NAMES = st.text(string.ascii_lowercase + string.digits + "._-é ", min_size=1, max_size=12).filter(
    lambda name: name not in {".", ".."}
)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


def manifest(*paths: str) -> Manifest:
    files = tuple(File(path=path, size_bytes=1, sha256=SHA) for path in paths)
    return Manifest(version="1", counter=1, platform="aarch64", python="3.13", files=files)


@given(st.lists(PATHS, min_size=1, max_size=8, unique=True))
def test_order_does_not_change_the_hash(paths: list[str]) -> None:
    one, other = encode_manifest(manifest(*paths)), encode_manifest(manifest(*reversed(paths)))
    assert release_hash(one) == release_hash(other)


@given(st.lists(PATHS, min_size=1, max_size=8, unique=True))
def test_plain_paths_are_accepted_unless_one_lies_below_another(paths: list[str]) -> None:
    text = encode_manifest(manifest(*paths))
    below = any(path.startswith(f"{other}/") for path in paths for other in paths if other != path)
    if below or "manifest.json" in paths:
        with pytest.raises(BundleError):
            decode_manifest(text)
    else:
        assert {each.path for each in decode_manifest(text).files} == {*paths}


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "/etc/passwd",
        "a/../../x",
        "a//b",
        "a/./b",
        "a/",
        ".",
        "..",
        "a\x00b",
        "a\nb",
        "manifest.json",
        "x" * 256,
        "\ud800",
    ],
)
def test_a_path_that_is_not_plain_is_refused(path: str) -> None:
    with pytest.raises(BundleError, match=r"refused|manifest: "):
        decode_manifest(encode_manifest(manifest("good")).replace(b'"good"', quoted(path)))


def quoted(path: str) -> bytes:
    return b'"' + "".join(f"\\u{ord(letter):04x}" for letter in path).encode() + b'"'


@pytest.mark.parametrize("target", ["/bin/sh", "../../x", "/usr/bin/python3.13/../../sh", "x"])
def test_a_link_leads_to_the_interpreter_only(target: str) -> None:
    files = (File(path="bin/python", link=target),)
    text = encode_manifest(
        Manifest(version="1", counter=1, platform="aarch64", python="3.13", files=files)
    )
    with pytest.raises(BundleError, match="outside the release"):
        decode_manifest(text)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[" * 100_000,
        b"\xff",
        b"null",
        encode_manifest(manifest("a")).replace(b'"counter":1', b'"counter":0'),
        encode_manifest(manifest("a")).replace(b'"counter":1', b'"counter":1e999'),
        encode_manifest(manifest("a")).replace(b'"format":1', b'"format":2'),
        encode_manifest(manifest("a")).replace(b'"aarch64"', b'"mips"'),
        encode_manifest(manifest("a")).replace(b'"python"', b'"pyhton"'),
        encode_manifest(manifest("a")).replace(b'"size_bytes":1', b'"size_bytes":-1'),
        encode_manifest(manifest("a")).replace(b'"size_bytes":1', b'"size_bytes":1,"mode":2541'),
        b" " * (MANIFEST_BYTES_MAX + 1),
    ],
)
def test_what_is_no_manifest_is_refused_in_words(text: bytes) -> None:
    with pytest.raises(BundleError, match=r"^manifest: "):
        decode_manifest(text)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_manifest_or_refused(text: bytes) -> None:
    with pytest.raises(BundleError):
        decode_manifest(text)
