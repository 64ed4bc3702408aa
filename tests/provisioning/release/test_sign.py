"""Keys are made for people, sign whole bundles only, and say what is wrong with them."""

import base64
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from services.releases import SITE, Signers, small_bundle

from node.install.bundle import read_bundle
from node.install.errors import BundleError, TrustError
from node.install.signatures import key_id, read_trust
from provisioning.release.errors import SigningError
from provisioning.release.keys import load_key, make_key, read_passphrase, trust_of
from provisioning.release.sign import sign_bundle, verify_bundle

PASSPHRASE = b"correct horse battery"
FILES = {"bin/simpul-node": b"#!/bin/sh\n", f"{SITE}/node/__init__.py": b'"""Is."""\n'}


@pytest.fixture
def passphrase_file(tmp_path: Path) -> Path:
    file = tmp_path / "passphrase"
    file.write_bytes(PASSPHRASE + b"\n")
    file.chmod(0o600)
    return file


def test_a_key_is_encrypted_private_and_signs(tmp_path: Path) -> None:
    file = tmp_path / "keys" / "siregar"
    name = make_key(file, PASSPHRASE)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert b"ENCRYPTED" in file.read_bytes()
    assert name == key_id(base64.b64decode((tmp_path / "keys/siregar.pub").read_bytes()))
    bundle = small_bundle(tmp_path, FILES)
    (signature,) = sign_bundle(bundle, load_key(file, PASSPHRASE))
    assert signature.key == name
    (tmp_path / "trust").write_bytes(trust_of([tmp_path / "keys/siregar.pub"], 1))
    assert verify_bundle(bundle, read_trust(tmp_path / "trust"))


def test_a_key_is_never_replaced(tmp_path: Path) -> None:
    file = tmp_path / "key"
    make_key(file, PASSPHRASE)
    before = file.read_bytes()
    with pytest.raises(SigningError, match="File exists; choose another file"):
        make_key(file, PASSPHRASE)
    assert file.read_bytes() == before


def test_signing_twice_counts_once(tmp_path: Path) -> None:
    signers = Signers()
    bundle = small_bundle(tmp_path, FILES)
    for key in (signers.keys[0], signers.keys[0]):
        assert len(sign_bundle(bundle, key)) == 1
    with pytest.raises(TrustError, match="1 of 2 signatures needed"):
        verify_bundle(bundle, signers.trust)
    assert len(sign_bundle(bundle, signers.keys[1])) == 2
    verify_bundle(bundle, signers.trust)


def test_a_damaged_bundle_is_not_signed(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path, FILES)
    read = read_bundle(bundle)
    text = bytearray(bundle.read_bytes())
    offset, length = next(iter(read.offsets.values()))
    text[offset + length - 1] ^= 1
    bundle.write_bytes(text)
    with pytest.raises(BundleError, match="object"):
        sign_bundle(bundle, Signers().keys[0])
    assert bundle.read_bytes() == text


def test_mistakes_with_keys_are_explained(tmp_path: Path, passphrase_file: Path) -> None:
    file = tmp_path / "key"
    with pytest.raises(SigningError, match="at least 12 characters"):
        make_key(file, b"short")
    with pytest.raises(SigningError, match="key: cannot be read: No such file"):
        load_key(file, PASSPHRASE)
    make_key(file, PASSPHRASE)
    with pytest.raises(SigningError, match="no key, or another passphrase"):
        load_key(file, b"wrong horse battery")
    other = generate_private_key(SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSPHRASE)
    )
    (tmp_path / "other").write_bytes(other)
    with pytest.raises(SigningError, match="not an ed25519 key"):
        load_key(tmp_path / "other", PASSPHRASE)
    passphrase_file.chmod(0o644)
    with pytest.raises(SigningError, match="others may read it; run chmod 600"):
        read_passphrase(passphrase_file, "key")


def test_trust_needs_keys_that_can_reach_its_threshold(tmp_path: Path) -> None:
    make_key(tmp_path / "key", PASSPHRASE)
    public = tmp_path / "key.pub"
    for count in (0, 2):
        with pytest.raises(TrustError, match=f"threshold {count} with 1 different keys"):
            trust_of([public, public], count)
    (tmp_path / "bad.pub").write_text("not base64!\n")
    with pytest.raises(TrustError, match="not base64"):
        trust_of([tmp_path / "bad.pub"], 1)
