"""Installs the papers that the station signed, and ends the life of the seed."""

import os
import shutil
import ssl
import subprocess
from pathlib import Path

import msgspec
from msgspec import Struct

from node.enrol.errors import EnrolError, PapersError
from node.enrol.files import rename_whole, scrub, write_whole
from node.enrol.places import Places, pending

PAPERS_BYTES_MAX = 1_048_576
_PUBLIC = 0o644
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

    node_key: str
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
        _install_mqtt(places, papers)
        _install_ssh(places, papers)
        places.token.unlink(missing_ok=True)
        left = tuple(_scrub(file) for file in places.seeds())
    except OSError as error:
        if isinstance(error, EnrolError):
            raise
        raise EnrolError(f"{error.filename}: {error.strerror}; enrol this node again") from error
    return Installed(node_key=str(places.mqtt_key), unscrubbed=tuple(filter(None, left)))


def reload_sshd() -> None:
    """Have sshd read its files again, once it finds them good. Raises EnrolError."""
    for command in ([_SSHD, "-t"], [shutil.which("systemctl") or "systemctl", "reload", "ssh"]):
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", "") or error
            raise EnrolError(f"{' '.join(command)}: {said}; sshd keeps its old key") from error


def _install_mqtt(places: Places, papers: Papers) -> None:
    key = _key_at_hand(places.mqtt_key)
    for name, text in (("mqtt.pem", papers.mqtt_certificate), ("ca.pem", papers.mqtt_authority)):
        beside = places.identity / f"{name}.pending"
        write_whole(beside, text.encode(), mode=_PUBLIC)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_cert_chain(places.identity / "mqtt.pem.pending", key, lambda: "none")
        context.load_verify_locations(places.identity / "ca.pem.pending")
    except (ssl.SSLError, ValueError) as error:
        raise PapersError(f"the certificate is not of this node's key: {error}") from error
    for name in ("ca.pem", "mqtt.pem"):
        rename_whole(places.identity / f"{name}.pending", places.identity / name)
    if key != places.mqtt_key:
        rename_whole(key, places.mqtt_key)


def _install_ssh(places: Places, papers: Papers) -> None:
    key = _key_at_hand(places.host_key)
    certificate = places.host_key.with_name(places.host_key.name + "-cert.pub")
    write_whole(certificate, papers.ssh_host_certificate.strip().encode() + b"\n", mode=_PUBLIC)
    if key != places.host_key:
        public = key.with_name(key.name + ".pub")
        rename_whole(public, places.host_key.with_name(places.host_key.name + ".pub"))
        rename_whole(key, places.host_key)
    places.sshd_host.parent.mkdir(parents=True, exist_ok=True)
    named = f"HostKey {places.host_key}\nHostCertificate {certificate}\n"
    write_whole(places.sshd_host, named.encode(), mode=_PUBLIC)
    for old in (places.root / "etc/ssh").glob("ssh_host_*_key*"):
        old.unlink()  # the key that lay on the card


def _key_at_hand(file: Path) -> Path:
    """Return the key that waits for its certificate, or the one in use when installed before."""
    waiting = pending(file)
    for each in (waiting, file):
        if each.exists():
            return each
    raise EnrolError(f"{waiting}: no key waits for these papers; run the enrolment again")


def _scrub(file: Path) -> str:
    try:
        scrub(file)
    except OSError as error:
        return f"{file}: {os.strerror(error.errno or 0)}"
    return ""
