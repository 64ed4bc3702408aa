"""Makes a small authority with certificates, as a fleet has one, with the openssl program."""

import subprocess
from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def make_authority(folder: Path, name: str) -> None:
    """Write NAME.pem and NAME.key of an authority valid for two days."""
    _openssl(
        folder,
        *("req", "-x509", *_KEY, "-days", "2", "-subj", f"/CN={name}"),
        *("-keyout", f"{name}.key", "-out", f"{name}.pem"),
        # Python 3.13 refuses an authority that does not say what it may do (RFC 5280, 4.2.1.3).
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
    )


def make_certificate(folder: Path, name: str, *, authority: str) -> None:
    """Write NAME.pem and NAME.key, signed by an authority in the same folder, for 127.0.0.1."""
    extensions = ("subjectAltName=IP:127.0.0.1", "authorityKeyIdentifier=keyid")
    (folder / "names").write_text("\n".join(extensions) + "\n")
    _openssl(
        folder,
        *("req", *_KEY, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr"),
    )
    _openssl(
        folder,
        *("x509", "-req", "-days", "2", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key"),
        *("-CAcreateserial", "-extfile", "names", "-in", f"{name}.csr", "-out", f"{name}.pem"),
    )


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
