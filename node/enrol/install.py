"""Installs the papers that the station signed, and ends the life of the seed."""

import os
import ssl
from pathlib import Path

import msgspec
from msgspec import Struct

from node.enrol.errors import EnrolError, PapersError
from node.enrol.files import remove_whole, rename_whole, scrub, write_whole
from node.enrol.places import PENDING, Places, pending, public_part
from node.enrol.programs import run_program

PAPERS_BYTES_MAX = 1_048_576
_PUBLIC = 0o644
_PRIVATE = 0o600
_SSHD = "/usr/sbin/sshd"


class Papers(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the station sends; nothing of it is secret, and none of it opens the node.

    Who may log in came with the seed and is changed by provisioning only: a technician who may
    install papers must not become root by them.
    """

    mqtt_certificate: str
    mqtt_authority: str
    ssh_host_certificate: str


class Installed(Struct, frozen=True, kw_only=True):
    """What was done; `unscrubbed` lists seeds that could not be overwritten, and why."""

    unscrubbed: tuple[str, ...] = ()


def read_papers(text: bytes) -> Papers:
    """Read the station's answer. Raises PapersError."""
    try:
        return msgspec.json.decode(text, type=Papers)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PapersError(f"the station's papers cannot be read: {error}") from error


def install(places: Places, papers: Papers) -> Installed:
    """Put the papers in their places and scrub the seed. Raises EnrolError, PapersError.

    Everything is checked before anything is replaced. The caller has sshd read its files again.
    """
    try:
        mqtt_key, host_key = _key_at_hand(places.mqtt_key), _key_at_hand(places.host_key)
        authority = _stage(places.authority, papers.mqtt_authority)
        certificate = _stage(places.mqtt_certificate, papers.mqtt_certificate)
        host_certificate = _stage(places.host_certificate, papers.ssh_host_certificate)
        _check_mqtt(certificate, authority, mqtt_key)
        _check_ssh(host_certificate, host_key)
        for waiting in (authority, certificate, host_certificate):
            _move_in(waiting)
        _move_in(mqtt_key)
        _copy_in(public_part(host_key), mode=_PUBLIC)
        _copy_in(host_key, mode=_PRIVATE)
        _name_host_key(places)
        left = tuple(filter(None, map(_scrub, places.seeds())))
        for memory in places.memories():
            memory.unlink()
        _end_token(places)
    except OSError as error:
        if isinstance(error, EnrolError):
            raise
        raise EnrolError(f"{error.filename}: {error.strerror}; enrol this node again") from error
    return Installed(unscrubbed=left)


def reload_sshd() -> None:
    """Have sshd read its files again, once it finds them good. Raises EnrolError."""
    run_program(_SSHD, "-t")
    run_program("systemctl", "reload", "ssh")


def _stage(file: Path, text: str) -> Path:
    waiting = pending(file)
    write_whole(waiting, text.strip().encode() + b"\n", mode=_PUBLIC)
    return waiting


def _check_mqtt(certificate: Path, authority: Path, key: Path) -> None:
    """See that the papers are of this node's key and of their authority; the clock may be wrong."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, lambda: "none")
    except (ssl.SSLError, ValueError) as error:
        raise PapersError(f"the certificate is not of this node's key: {error}") from error
    try:
        run_program(
            *("openssl", "verify", "-no_check_time", "-purpose", "sslclient"),
            *("-CAfile", authority, certificate),
        )
    except EnrolError as error:
        raise PapersError(f"the certificate is not of the authority beside it: {error}") from error


def _check_ssh(certificate: Path, key: Path) -> None:
    try:
        said = run_program("ssh-keygen", "-L", "-f", certificate)
        fingerprint = run_program("ssh-keygen", "-l", "-f", public_part(key)).split()[1]
    except EnrolError as error:
        raise PapersError(f"the SSH certificate cannot be read: {error}") from error
    if "host certificate" not in said or f"Public key: ED25519-CERT {fingerprint}\n" not in said:
        raise PapersError("the SSH certificate is not one of this node's host key")


def _name_host_key(places: Places) -> None:
    """Tell sshd of the certified key, and end the key that lay on the card."""
    places.sshd_host.parent.mkdir(parents=True, exist_ok=True)
    named = f"HostKey {places.host_key}\nHostCertificate {places.host_certificate}\n"
    write_whole(places.sshd_host, named.encode(), mode=_PUBLIC)
    for old in (places.root / "etc/ssh").glob("ssh_host_*_key*"):
        old.unlink()


def _end_token(places: Places) -> None:
    """End the token, and only then the key that it was used for.

    The station takes a token again for the same host key only: as long as a cut can bring the token
    back, the key waits beside it, and the next request shows the same one.
    """
    if places.token.parent.exists():
        remove_whole(places.token)
    waiting = pending(places.host_key)
    for file in (waiting, public_part(waiting)):
        remove_whole(file)


def _key_at_hand(file: Path) -> Path:
    """Return the key that waits for its certificate, or the one in use when installed before."""
    waiting = pending(file)
    for each in (waiting, file):
        if each.exists():
            return each
    raise EnrolError(f"{waiting}: no key waits for these papers; run the enrolment again")


def _move_in(file: Path) -> None:
    """Rename what was pending to its own name; what is in use already stays."""
    if PENDING in file.name:
        rename_whole(file, file.with_name(file.name.replace(PENDING, "")))


def _copy_in(file: Path, *, mode: int) -> None:
    """Put a copy of what is pending under its own name; what is in use already stays."""
    if PENDING in file.name:
        own = file.with_name(file.name.replace(PENDING, ""))
        write_whole(own, file.read_bytes(), mode=mode)


def _scrub(file: Path) -> str:
    try:
        scrub(file)
    except OSError as error:
        return f"{file}: {os.strerror(error.errno or 0)}"
    return ""
