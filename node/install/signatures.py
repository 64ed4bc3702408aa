"""Holds that enough trusted keys signed a release (ed25519, RFC 8032), before anything is unpacked.

Verified by Debian's `openssl`, which every node has beside its CA certificates: a process of some
milliseconds, where a Python library would stay in the release and in memory.
"""

import base64
import binascii
import hashlib
import subprocess
import tempfile
import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from node.install.errors import BundleError, TrustError

SIGNATURES_BYTES_MAX = 64 * 1024
_OPENSSL_TIMEOUT_S = 30
_KEY_BYTES = 32
_SIGNATURE_BYTES = 64
# SubjectPublicKeyInfo of an ed25519 key up to the key itself, RFC 8410.
_DER_HEAD = bytes.fromhex("302a300506032b6570032100")


class Signature(Struct, frozen=True, forbid_unknown_fields=True):
    """One signature: who (see `key_id`), and 64 bytes in base64."""

    key: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
    value: Annotated[str, Meta(max_length=88)]


class Trust(Struct, frozen=True, forbid_unknown_fields=True):
    """Who may release: `threshold` of the `keys` (32 bytes each, base64) must have signed."""

    threshold: Annotated[int, Meta(ge=1, le=16)]
    keys: Annotated[tuple[str, ...], Meta(min_length=1, max_length=16)]


def key_id(public_key: bytes) -> str:
    """Return the name of a public key (32 bytes): 16 digits of its SHA-256."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def statement(release: str) -> bytes:
    """Return what is signed for a release: its name, said so that it can mean nothing else."""
    return f"simpul-release-1\n{release}\n".encode()


def decode_signatures(text: bytes) -> tuple[Signature, ...]:
    """Return the signatures in `text`. Raises BundleError."""
    try:
        return msgspec.json.decode(text, type=tuple[Signature, ...])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"signatures: {error}; sign the release anew") from error


def read_trust(file: Path) -> Trust:
    """Return whom this node trusts. Raises TrustError when `file` cannot say."""
    try:
        trust = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), Trust)
    except OSError as error:
        raise TrustError(f"{file}: cannot be read: {error.strerror}; put it there") from error
    except (ValueError, msgspec.MsgspecError) as error:
        raise TrustError(f"{file}: {error}; correct it") from error
    if trust.threshold > len({*_public_keys(trust)}):
        raise TrustError(f"{file}: threshold {trust.threshold} is more than the keys it names")
    return trust


def encode_trust(trust: Trust) -> bytes:
    """Return the text that `read_trust` reads. Raises TrustError for keys that are none."""
    names = _public_keys(trust)
    if not 1 <= trust.threshold <= len(names):
        raise TrustError(f"threshold {trust.threshold} with {len(names)} different keys; mend one")
    lines = [
        "# Whose signatures a release needs before this node installs it.",
        f"threshold = {trust.threshold}",
        "keys = [",
        *(f'  "{base64.b64encode(key).decode()}", # {name}' for name, key in names.items()),
        "]",
    ]
    return "\n".join(lines).encode() + b"\n"


def verify(release: str, signatures: tuple[Signature, ...], trust: Trust) -> None:
    """Return when `trust.threshold` different trusted keys signed; else raise TrustError."""
    trusted = _public_keys(trust)
    good: set[str] = set()
    refused = ["no signature"] if not signatures else []
    for each in signatures[: 4 * len(trusted)]:
        if each.key not in trusted:
            refused.append(f"{each.key} is not trusted here")
        elif each.key not in good:
            if _is_good(release, each, trusted[each.key]):
                good.add(each.key)
            else:
                refused.append(f"{each.key} did not sign this")
    if len(good) < trust.threshold:
        raise TrustError(
            f"release {release[:16]}: {len(good)} of {trust.threshold} signatures needed"
            f"{': ' if refused else ''}{', '.join(refused)}; have it signed"
        )


def _public_keys(trust: Trust) -> dict[str, bytes]:
    keys = {}
    for text in trust.keys:
        try:
            key = base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise TrustError(f"release key {text!r}: not base64; correct it") from error
        if len(key) != _KEY_BYTES:
            raise TrustError(f"release key {text!r}: {len(key)} bytes instead of {_KEY_BYTES}")
        keys[key_id(key)] = key
    return keys


def _is_good(release: str, signature: Signature, public_key: bytes) -> bool:
    try:
        value = base64.b64decode(signature.value, validate=True)
    except (binascii.Error, ValueError):
        return False
    if len(value) != _SIGNATURE_BYTES:
        return False
    with tempfile.TemporaryDirectory(prefix="simpul-verify-") as name:
        room = Path(name)
        (room / "key.der").write_bytes(_DER_HEAD + public_key)
        (room / "signature").write_bytes(value)
        (room / "statement").write_bytes(statement(release))
        command = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER"]
        command += ["-inkey", str(room / "key.der"), "-sigfile", str(room / "signature")]
        command += ["-in", str(room / "statement")]
        try:
            done = subprocess.run(
                command, check=False, capture_output=True, timeout=_OPENSSL_TIMEOUT_S
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise TrustError(f"openssl cannot be run: {error}; apt install openssl") from error
    return done.returncode == 0
