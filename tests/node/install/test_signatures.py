"""Nothing is installed that fewer trusted people signed than the node was told to ask for."""

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from services.releases import Signers, trust_in

from node.install.errors import BundleError, TrustError
from node.install.signatures import (
    Signature,
    decode_signatures,
    encode_trust,
    key_id,
    read_trust,
    statement,
    verify,
)
from provisioning.release.keys import public_bytes

RELEASE = "ab" * 32
A, B, C = Signers().keys
STRANGER = Ed25519PrivateKey.generate()
TRUST = trust_in((A, B, C), threshold=2)


def signed(key: Ed25519PrivateKey, release: str = RELEASE) -> Signature:
    value = base64.b64encode(key.sign(statement(release))).decode()
    return Signature(key_id(public_bytes(key)), value)


def named(key: Ed25519PrivateKey, value: str) -> Signature:
    return Signature(key_id(public_bytes(key)), value)


@pytest.mark.parametrize(
    "signatures",
    [
        (signed(A), signed(B)),
        (signed(C), signed(B), signed(A)),
        (signed(STRANGER), signed(A), signed(A), signed(C)),
        (named(A, signed(B).value), signed(A), signed(B)),
    ],
)
def test_two_of_three_are_enough(signatures: tuple[Signature, ...]) -> None:
    verify(RELEASE, signatures, TRUST)


@pytest.mark.parametrize(
    ("signatures", "words"),
    [
        ((), "0 of 2 signatures needed: no signature"),
        ((signed(A),), "1 of 2 signatures needed"),
        ((signed(A), signed(A)), "1 of 2"),
        ((signed(A), signed(STRANGER)), "is not trusted here"),
        ((signed(A), signed(B, "cd" * 32)), "did not sign this"),
        ((signed(A), named(B, signed(A).value)), "did not sign this"),
        ((signed(A), named(B, "")), "did not sign this"),
        ((signed(A), named(B, "!" * 88)), "did not sign this"),
        ((signed(A), named(B, base64.b64encode(bytes(64)).decode())), "did not sign this"),
        (tuple(signed(STRANGER) for _ in range(500)), "0 of 2"),
    ],
)
def test_fewer_are_refused(signatures: tuple[Signature, ...], words: str) -> None:
    with pytest.raises(TrustError, match=words):
        verify(RELEASE, signatures, TRUST)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = tmp_path / "release-keys.toml"
    file.write_bytes(encode_trust(TRUST))
    assert read_trust(file) == TRUST


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "threshold"),
        ("threshold = 2\nkeys = []\n", "length"),
        (f'threshold = 2\nkeys = ["{TRUST.keys[0]}", "{TRUST.keys[0]}"]\n', "more than the keys"),
        ('threshold = 1\nkeys = ["AAAA"]\n', "3 bytes instead of 32"),
        (f'threshold = 0\nkeys = ["{TRUST.keys[0]}"]\n', ">= 1"),
        ("threshold = \n", "Invalid value"),
        (f'threshold = 1\nkeys = ["{TRUST.keys[0]}"]\nmore = 1\n', "unknown field"),
    ],
)
def test_trust_that_says_nothing_is_refused(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "release-keys.toml"
    file.write_text(text)
    with pytest.raises(TrustError, match=words):
        read_trust(file)


def test_a_node_that_trusts_nobody_installs_nothing(tmp_path: Path) -> None:
    with pytest.raises(TrustError, match="No such file or directory; put it there"):
        read_trust(tmp_path / "release-keys.toml")


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[1]", b'[{"key":"x","value":""}]', b"\xff", b"[" * 9999]
)
def test_signatures_that_are_none_are_refused(text: bytes) -> None:
    with pytest.raises(BundleError, match=r"^signatures: "):
        decode_signatures(text)
