"""Makes the papers of SSH: host and user certificates, and the key revocation list.

Formats: OpenSSH's PROTOCOL.certkeys; ssh-keygen(1), "Certificates" and "Key Revocation Lists".
"""

import base64
import secrets
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificate,
    SSHCertificateBuilder,
    SSHCertificateType,
)
from cryptography.hazmat.primitives.serialization.ssh import ssh_key_fingerprint

from provisioning.authority.errors import AuthorityError, RequestError

HOST_DAYS = 730
TECHNICIAN_HOURS_MAX = 24.0
_BACKDATED = timedelta(days=1)
_RSA_BITS_MIN = 3072
_PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey


def read_public(line: str, whose: str) -> _PublicKey:
    """Return a public key in OpenSSH's one-line form. Raises RequestError."""
    try:
        key = serialization.load_ssh_public_key(line.strip().encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise RequestError(f"{whose}: no public key of OpenSSH: {error}") from error
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _RSA_BITS_MIN:
        raise RequestError(f"{whose}: an RSA key of {key.key_size} bits; make an ed25519 key")
    if not isinstance(key, _PublicKey):
        raise RequestError(f"{whose}: a key of a kind that is not taken; make an ed25519 key")
    return key


def public_line(key: _PublicKey) -> str:
    """Return a public key in OpenSSH's one-line form, without comment."""
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def fingerprint(key: _PublicKey) -> str:
    """Return the fingerprint as `ssh-keygen -l` shows it."""
    return "SHA256:" + base64.b64encode(ssh_key_fingerprint(key, SHA256())).decode().rstrip("=")


def sign_host(key: _PublicKey, node: str, authority: ed25519.Ed25519PrivateKey) -> SSHCertificate:
    """Return the certificate by which stations know `node` (under that name, as HostKeyAlias)."""
    return _started(key, node, [node], timedelta(days=HOST_DAYS), SSHCertificateType.HOST).sign(
        authority
    )


def sign_technician(
    key: _PublicKey,
    who: str,
    principals: Iterable[str],
    hours: float,
    *,
    authority: ed25519.Ed25519PrivateKey,
) -> SSHCertificate:
    """Return a certificate that lets `who` log in as the principals for some hours.

    It opens a shell and nothing else: no forwarding of ports, agent or display.
    Raises AuthorityError for a time that is not short.
    """
    if not 0 < hours <= TECHNICIAN_HOURS_MAX:
        raise AuthorityError(
            f"{hours:g} hours; a technician's certificate lasts up to {TECHNICIAN_HOURS_MAX:g}"
        )
    lasts = timedelta(hours=hours)
    builder = _started(key, who, list(principals), lasts, SSHCertificateType.USER)
    return builder.add_extension(b"permit-pty", b"").sign(authority)


def make_krl(revoked: Mapping[str, list[int]], *, number: int) -> bytes:
    """Return OpenSSH's key revocation list: public key of an authority -> revoked serials.

    Raises AuthorityError when ssh-keygen is missing or refuses.
    """
    with tempfile.TemporaryDirectory() as directory:
        krl, spec, signer = (Path(directory, name) for name in ("krl", "spec", "signer.pub"))
        spec.write_text("", encoding="utf-8")
        _keygen("-k", "-f", krl, "-z", number, spec)
        for line, serials in revoked.items():
            signer.write_text(line + "\n", encoding="utf-8")
            spec.write_text("".join(f"serial: {each}\n" for each in serials), encoding="utf-8")
            _keygen("-k", "-u", "-f", krl, "-z", number, "-s", signer, spec)
        return krl.read_bytes()


def _keygen(*arguments: object) -> None:
    command = ["ssh-keygen", "-q", *map(str, arguments)]
    try:
        # In a group of its own: Ctrl-C is for this program to answer.
        subprocess.run(command, check=True, capture_output=True, text=True, process_group=0)
    except FileNotFoundError as error:
        raise AuthorityError("ssh-keygen is missing; apt-get install openssh-client") from error
    except subprocess.CalledProcessError as error:
        raise AuthorityError(f"ssh-keygen: {error.stderr.strip()}") from error


def _started(
    key: _PublicKey,
    name: str,
    principals: list[str],
    lasts: timedelta,
    kind: SSHCertificateType,
) -> SSHCertificateBuilder:
    now = datetime.now(UTC)
    return (
        SSHCertificateBuilder()
        .public_key(key)
        .serial(secrets.randbits(63) | 1)  # 0 means "no serial", which no list could revoke
        .type(kind)
        .key_id(name.encode())
        .valid_principals([each.encode() for each in principals])
        .valid_after(int((now - _BACKDATED).timestamp()))
        .valid_before(int((now + lasts).timestamp()))
    )
