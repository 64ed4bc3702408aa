"""Tells whether a broker's certificate still fits its key, its names, the authority and the day.

What the authority believes, and what it took back, lies in the folder of the published files.

The broker's public key (PEM) comes on stdin. The answer is JSON: a verdict (fine; due: it works,
but ends soon; unusable) and its reasons, in words that go on from "The broker's certificate".
"""

import argparse
import ipaddress
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_LIST_END = b"-----END X509 CRL-----"


def why_unusable(
    certificate: x509.Certificate,
    public: str,
    names: list[str],
    authorities: list[x509.Certificate],
    lists: list[x509.CertificateRevocationList],
) -> list[str]:
    """Return why the broker of this key and these names cannot show the certificate."""
    reasons = []
    its_own = _public(certificate) == public.split()
    if not its_own:
        reasons.append("is for another key than the broker's")
    if any(_lists(each, certificate) for each in lists):
        # Another key was made already where it is not the broker's own.
        reasons.append("is revoked" + ", and its key with it" * its_own)
    if (found := _names(certificate)) != [_normal(name) for name in names]:
        reasons.append(f"is for {', '.join(found) or 'no name'}, not for {', '.join(names)}")
    if not any(_signed(authority, certificate) for authority in authorities):
        reasons.append("is of an authority that is not believed")
    if certificate.not_valid_after_utc <= datetime.now(UTC):
        reasons.append(f"ended on {certificate.not_valid_after_utc:%Y-%m-%d}")
    return reasons


def judge(file: Path, public: str, names: list[str], published: Path, renew_days: int) -> str:
    """Return the answer. Raises OSError and ValueError when what is published cannot be read."""
    authorities = x509.load_pem_x509_certificates((published / "mqtt-ca.pem").read_bytes())
    *texts, _ = (published / "mqtt.crl").read_bytes().split(_LIST_END)
    lists = [x509.load_pem_x509_crl(text + _LIST_END) for text in texts]
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
    except FileNotFoundError:
        return _answer("unusable", "is missing")
    except ValueError:
        return _answer("unusable", "is none that can be read")
    if reasons := why_unusable(certificate, public, names, authorities, lists):
        return _answer("unusable", *reasons)
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    if left < timedelta(days=renew_days):
        return _answer("due", f"ends in {left.days} days")
    return _answer("fine")


def main() -> None:
    """Print the answer on the certificate that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--published", type=Path, required=True)
    parser.add_argument("--renew-days", type=int, required=True)
    parser.add_argument("names", nargs="+")
    asked = parser.parse_args()
    places = (asked.published, asked.renew_days)
    print(judge(asked.certificate, sys.stdin.read(), asked.names, *places))  # noqa: T201 - the answer


def _answer(verdict: str, *reasons: str) -> str:
    return json.dumps({"verdict": verdict, "reasons": reasons})


def _lists(revoked: x509.CertificateRevocationList, certificate: x509.Certificate) -> bool:
    found = revoked.get_revoked_certificate_by_serial_number(certificate.serial_number)
    return revoked.issuer == certificate.issuer and found is not None


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(each.value) for each in found]


def _normal(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def _public(certificate: x509.Certificate) -> list[str]:
    form = PublicFormat.SubjectPublicKeyInfo
    return certificate.public_key().public_bytes(Encoding.PEM, form).decode().split()


def _signed(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


if __name__ == "__main__":
    main()
