"""Tells whether the files for TLS can be used, before a broker is ever asked (PEM, RFC 7468)."""

import ssl
import stat
from collections.abc import Iterator
from pathlib import Path

from node.settings import Uplink

_OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def ca_problems(uplink: Uplink) -> Iterator[str]:
    """Say what keeps `ca_file` from vouching for a broker; without one the system's CAs do."""
    if uplink.ca_file:
        yield from _unreadable("ca_file", uplink.ca_file) or _not_pem("ca_file", uplink.ca_file)


def certificate_problems(uplink: Uplink) -> Iterator[str]:
    """Say what keeps the node from showing its certificate and proving its key."""
    certificate, key = uplink.certificate_file, uplink.key_file
    problems = []
    if certificate:
        problems += _unreadable("certificate_file", certificate) or _not_pem(
            "certificate_file", certificate
        )
    if key:
        problems += _unreadable("key_file", key) or _open_to_others(key)
    yield from problems
    if certificate and key and not problems:
        yield from _not_a_pair(certificate, key)


def _unreadable(key: str, file: str) -> list[str]:
    try:
        if not Path(file).is_file():
            return [f"uplink.{key}: {file}: no such file; put it there or correct the path"]
        with Path(file).open("rb"):
            return []
    except (OSError, ValueError) as error:
        return [f"uplink.{key}: {file}: cannot be read: {reason_of(error)}; give it to this user"]


def _not_pem(key: str, file: str) -> list[str]:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        return [f"uplink.{key}: {file}: holds no certificate in PEM form ({reason_of(error)})"]
    return []


def _open_to_others(file: str) -> list[str]:
    mode = stat.S_IMODE(Path(file).stat().st_mode)
    if mode & _OPEN_TO_OTHERS:
        return [f"uplink.key_file: {file}: others may use it (mode {mode:o}); run chmod 600 on it"]
    return []


def _not_a_pair(certificate: str, key: str) -> Iterator[str]:
    try:
        # The password stands in for a prompt, which would wait for somebody at a terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, lambda: "none")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            yield f"uplink.key_file: {key}: not the key of {certificate}; enrol this node again"
        else:
            yield f"uplink.key_file: {key}: no PEM key without a passphrase ({reason_of(error)})"
    except (OSError, ValueError) as error:
        yield f"uplink.key_file: {key}: cannot be used: {reason_of(error)}"


def reason_of(error: OSError | ValueError) -> str:
    """Return in a few words why a file could not be used."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
