"""Makes the X.509 papers of MQTT: authority, certificates from requests, revocation list.

Profile: RFC 5280, as strictly as Python 3.13's ssl verifies it (VERIFY_X509_STRICT).
"""

import ipaddress
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from provisioning.authority.errors import RequestError

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 730
REQUEST_BYTES_MAX = 16_384
# A Pi boots with a clock that is behind; hours, because the image's build date bounds the error.
_BACKDATED = timedelta(days=1)
_NO_USAGE = dict.fromkeys(
    (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ),
    False,
)


def make_authority(key: ec.EllipticCurvePrivateKey, name: str) -> x509.Certificate:
    """Return the self-signed certificate of an authority that signs leaves only."""
    public = key.public_key()
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    identity = x509.SubjectKeyIdentifier.from_public_key(public)
    return (
        _started(AUTHORITY_DAYS)
        .subject_name(named)
        .issuer_name(named)
        .public_key(public)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(**{**_NO_USAGE, "key_cert_sign": True, "crl_sign": True}), critical=True
        )
        .add_extension(identity, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identity), critical=False
        )
        .sign(key, hashes.SHA256())
    )


def read_request(pem: bytes, name: str) -> ec.EllipticCurvePublicKey:
    """Return the key of a request (PKCS #10, PEM) that `name` made; nothing else is taken over.

    Raises RequestError when it is malformed, signed by another key, names another node, or has a
    key that is not on the curve P-256.
    """
    if len(pem) > REQUEST_BYTES_MAX:
        raise RequestError(f"{name}: a request of {len(pem)} bytes; at most {REQUEST_BYTES_MAX}")
    try:
        request = x509.load_pem_x509_csr(pem)
        genuine = request.is_signature_valid
        key = request.public_key()
        said = [attribute.value for attribute in request.subject]
    except UnsupportedAlgorithm as error:
        raise RequestError(f"{name}: {error}; make a key on the curve P-256") from error
    except (ValueError, TypeError, InvalidSignature) as error:
        raise RequestError(f"{name}: no certificate request in PEM form: {error}") from error
    if not genuine:
        raise RequestError(f"{name}: the request is not signed by the key it carries")
    if said != [name]:
        raise RequestError(f"{name}: the request is for {said}; a node asks for itself only")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise RequestError(f"{name}: the request's key is not on the curve P-256")
    return key


def sign_client(
    public: ec.EllipticCurvePublicKey,
    name: str,
    authority: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    """Return the certificate by which `name` enters the broker, as a client only."""
    return _sign_leaf(public, name, (authority, key), ExtendedKeyUsageOID.CLIENT_AUTH, [name])


def sign_broker(
    public: ec.EllipticCurvePublicKey,
    names: list[str],
    authority: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    """Return the certificate of a broker for these host names and addresses, as a server only.

    Raises RequestError for a name that is not in ASCII.
    """
    issuer = (authority, key)
    return _sign_leaf(public, names[0], issuer, ExtendedKeyUsageOID.SERVER_AUTH, names)


def make_list(
    authority: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    revoked: Iterable[tuple[int, datetime]],
    *,
    number: int,
    at: datetime,
) -> x509.CertificateRevocationList:
    """Return the revocation list: (serial, since when) of every revoked certificate.

    It stays valid as long as the authority: Mosquitto refuses *everybody* once a list has
    expired, and a quiet office must not darken the fleet.
    """
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(at)
        .next_update(authority.not_valid_after_utc)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(_issuer_of(authority), critical=False)
    )
    for serial, since in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(since).build()
        )
    return builder.sign(key, hashes.SHA256())


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of the certificate, in hexadecimal."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def pem(paper: x509.Certificate | x509.CertificateRevocationList) -> bytes:
    """Return a certificate or list in PEM form (RFC 7468)."""
    return paper.public_bytes(Encoding.PEM)


def _sign_leaf(
    public: ec.EllipticCurvePublicKey,
    name: str,
    issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey],
    usage: x509.ObjectIdentifier,
    names: list[str],
) -> x509.Certificate:
    authority, key = issuer
    return (
        _started(CERTIFICATE_DAYS)
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(authority.subject)
        .public_key(public)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**{**_NO_USAGE, "digital_signature": True}), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([_alternative(each) for each in names]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(_issuer_of(authority), critical=False)
        .sign(key, hashes.SHA256())
    )


def _started(days: int) -> x509.CertificateBuilder:
    start = datetime.now(UTC) - _BACKDATED
    return (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
    )


def _issuer_of(authority: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identity = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identity)


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError as error:
        raise RequestError(f"{name}: not in ASCII; write it as DNS has it (xn--...)") from error
