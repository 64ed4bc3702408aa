"""Makes the keys that sign bundles: an authority that images trust, and a signer it vouches for.

The signer can be replaced without a new image; a new authority needs one. For a fleet, keep the
authority's key off line, and give `rauc` a PKCS #11 URL for the signer's.
"""

import base64
import datetime as dt
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from provisioning.authority.files import PUBLIC, write_whole
from provisioning.image.errors import BundleKeyError

_DAY = dt.timedelta(days=1)
_AUTHORITY_DAYS = 20 * 365
_SIGNER_DAYS = 5 * 365


class BundleKeys(Struct, frozen=True):
    """Where the keys lie."""

    folder: Path

    @property
    def authority(self) -> Path:
        """The certificate that images carry (PEM)."""
        return self.folder / "authority.pem"

    @property
    def certificate(self) -> Path:
        """The signer's certificate (PEM)."""
        return self.folder / "signer.pem"

    @property
    def key(self) -> Path:
        """The signer's private key (PEM, PKCS #8)."""
        return self.folder / "signer.key"


def make_keys(folder: Path, now: dt.datetime) -> BundleKeys:
    """Make new keys in `folder`, which nobody else may enter. Raises BundleKeyError."""
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError as error:
        raise BundleKeyError(
            f"{folder} exists already: keys are never replaced; give another folder"
        ) from error
    except OSError as error:
        raise BundleKeyError(f"{folder}: cannot be made: {error.strerror}") from error
    keys = BundleKeys(folder)
    authority_key, signer_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = _certificate("Simpul bundle authority", now, _AUTHORITY_DAYS, authority_key)
    signer = _certificate(
        "Simpul bundle signer", now, _SIGNER_DAYS, signer_key, (authority, authority_key)
    )
    for file, content in (
        (folder / "authority.key", _private(authority_key)),
        (keys.key, _private(signer_key)),
    ):
        write_whole(file, content)
    for file, certificate in ((keys.authority, authority), (keys.certificate, signer)):
        write_whole(file, certificate.public_bytes(Encoding.PEM), mode=PUBLIC)
    return keys


def read_keys(folder: Path) -> BundleKeys:
    """Return the keys in `folder`. Raises BundleKeyError when one is missing or open to others."""
    keys = BundleKeys(folder)
    for file in (keys.authority, keys.certificate, keys.key):
        if not file.is_file():
            raise BundleKeyError(f"{file} is missing: make keys by: simpul image bundle-keys")
    if keys.key.stat().st_mode & 0o077:
        raise BundleKeyError(f"{keys.key} may be read by others: chmod 600 {keys.key}")
    return keys


def trust_value(keys: BundleKeys) -> str:
    """Return what an image is built with (update.trust): the authority's certificate."""
    certificate = x509.load_pem_x509_certificate(keys.authority.read_bytes())
    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode("ascii")


def _certificate(
    name: str,
    now: dt.datetime,
    days: int,
    key: ec.EllipticCurvePrivateKey,
    issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None,
) -> x509.Certificate:
    """Return a certificate for `key`; without an issuer it is an authority's own."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    authority = issuer is None
    usage = x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    limits = x509.BasicConstraints(ca=authority, path_length=0 if authority else None)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    signing_key = issuer[1] if issuer else key
    parent = x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + days * _DAY)
        .add_extension(limits, critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(parent, critical=False)
    )
    if not authority:
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])
        builder = builder.add_extension(purpose, critical=False)
    return builder.sign(signing_key, hashes.SHA256())


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
