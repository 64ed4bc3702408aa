"""Makes the keys that sign releases (ed25519, RFC 8032), and tells nodes which of them to trust."""

import base64
import getpass
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from node.install.signatures import Trust, encode_trust, key_id
from provisioning.release.errors import SigningError

_PASSPHRASE_LENGTH_MIN = 12


def make_key(file: Path, passphrase: bytes) -> str:
    """Write a private key (PKCS #8, encrypted) to `file`, the public one to `file`.pub.

    Return the key's name. An existing file is never replaced. Raises SigningError.
    """
    if len(passphrase) < _PASSPHRASE_LENGTH_MIN:
        raise SigningError(f"the passphrase needs at least {_PASSPHRASE_LENGTH_MIN} characters")
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase)
    )
    public = public_bytes(key)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        for path, text, mode in (
            (file, private, 0o600),
            (file.with_name(f"{file.name}.pub"), base64.b64encode(public) + b"\n", 0o644),
        ):
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
                out.write(text)
    except OSError as error:
        raise SigningError(f"{error.filename}: {error.strerror}; choose another file") from error
    return key_id(public)


def load_key(file: Path, passphrase: bytes) -> Ed25519PrivateKey:
    """Return the private key in `file`. Raises SigningError."""
    try:
        key = load_pem_private_key(file.read_bytes(), passphrase)
    except OSError as error:
        raise SigningError(f"{file}: cannot be read: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise SigningError(f"{file}: no key, or another passphrase: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningError(f"{file}: not an ed25519 key; make one with `simpul release keygen`")
    return key


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """Return the public key, 32 bytes."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def trust_of(files: Sequence[Path], threshold: int) -> bytes:
    """Return release-keys.toml for nodes: `threshold` of the public keys in `files` must sign.

    Raises SigningError, TrustError.
    """
    try:
        keys = tuple(file.read_text(encoding="utf-8").strip() for file in files)
    except (OSError, UnicodeDecodeError) as error:
        raise SigningError(f"a public key cannot be read: {error}") from error
    return encode_trust(Trust(threshold, keys))


def read_passphrase(file: Path | None, key: str, *, new: bool = False) -> bytes:
    """Return the passphrase of `key`: the first line of a private `file`, or asked for.

    Raises SigningError.
    """
    if file is not None:
        try:
            if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise SigningError(f"{file}: others may read it; run chmod 600 on it")
            return file.read_bytes().partition(b"\n")[0].rstrip(b"\r")
        except OSError as error:
            raise SigningError(f"{file}: cannot be read: {error.strerror}") from error
    if not sys.stdin.isatty():
        raise SigningError("no terminal to ask at; name a file with --passphrase-file")
    try:
        text = getpass.getpass(f"Passphrase of {key}: ")
        if new and getpass.getpass("Once more: ") != text:
            raise SigningError("the two passphrases differ; start again")
    except EOFError as error:
        raise SigningError("no passphrase was typed; start again") from error
    return text.encode()
