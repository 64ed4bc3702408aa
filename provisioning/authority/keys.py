"""Names the kinds of signing key and their generations; locks and opens the keys themselves."""

from typing import Literal, get_args

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PrivateFormat,
    load_ssh_private_key,
    load_ssh_public_key,
)
from msgspec import Struct

from provisioning.authority.errors import AuthorityError, PassphraseError

Kind = Literal["mqtt", "ssh-host", "ssh-user"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SigningKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
# bcrypt_pbkdf as ssh-keygen(1) does; some tenths of a second for every guess.
_KDF_ROUNDS = 24


class Generation(Struct, frozen=True, kw_only=True):
    """One generation of a kind: what it is trusted by, in PEM (mqtt) or OpenSSH's form."""

    kind: Kind
    number: int
    public: str
    retired: bool = False


def lock(key: SigningKey, passphrase: bytes) -> bytes:
    """Return the key in OpenSSH's form, which alone of PEM's has a slow derivation (bcrypt)."""
    encryption = PrivateFormat.OpenSSH.encryption_builder().kdf_rounds(_KDF_ROUNDS)
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, encryption.build(passphrase))


def open_key(text: bytes, passphrase: bytes, file: str) -> SigningKey:
    """Return the key of `file`. Raises PassphraseError, and AuthorityError for another's key."""
    try:
        key = load_ssh_private_key(text, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise PassphraseError(f"{file}: not opened by this passphrase") from error
    if not isinstance(key, SigningKey):
        raise AuthorityError(f"{file}: not a key of this authority; bring back the backup")
    return key


def belongs(key: SigningKey, generation: Generation) -> bool:
    """Tell whether `key` is the private part of what the generation is trusted by."""
    text = generation.public.encode()
    if generation.kind == "mqtt":
        return key.public_key() == x509.load_pem_x509_certificate(text).public_key()
    return key.public_key() == load_ssh_public_key(text)
