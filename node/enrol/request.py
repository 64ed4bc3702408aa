"""Makes the node's keys and asks for their certificates; the keys never leave the node.

By the programs openssl(1) and ssh-keygen(1), which every image has: the agent needs no library of
cryptography for what is done once in its life.
"""

import os
import pwd
import re
import subprocess
from pathlib import Path

from msgspec import Struct

from node.enrol.errors import EnrolError
from node.enrol.places import Places, pending
from node.messages import NODE_NAME_PATTERN

_AGENT_USER = "simpul"
_PRIVATE = 0o077


class Request(Struct, frozen=True, kw_only=True):
    """What the node hands to the station: its name, its token, and what is to be signed."""

    node: str
    token: str
    mqtt_request: str
    ssh_host_key: str


def make_request(places: Places) -> Request:
    """Make the keys that are not waiting already, and return the request. Raises EnrolError.

    A key waits until its certificate comes, so that an enrolment cut short is taken up again.
    """
    try:
        name = places.hostname.read_text(encoding="utf-8").strip()
        token = places.token.read_text(encoding="utf-8").strip() if places.token.exists() else ""
        if not re.fullmatch(NODE_NAME_PATTERN, name):
            raise EnrolError(f"{places.hostname}: {name!r} is no node's name; flash the card again")
        before = os.umask(_PRIVATE)
        try:
            places.identity.mkdir(mode=0o755, parents=True, exist_ok=True)
            places.ssh.mkdir(mode=0o755, parents=True, exist_ok=True)
            mqtt_key = _mqtt_key(pending(places.mqtt_key))
            host_key = _host_key(pending(places.host_key), name)
        finally:
            os.umask(before)
        # For the agent, which is not root and has to come to its key; the folder is no secret.
        places.identity.chmod(0o755)
        places.ssh.chmod(0o755)
        _give_to_agent(mqtt_key)
        public = host_key.with_name(host_key.name + ".pub").read_text(encoding="utf-8").strip()
    except OSError as error:
        if isinstance(error, EnrolError):
            raise
        raise EnrolError(f"{error.filename}: {error.strerror}; this command needs root") from error
    asked = _run("openssl", "req", "-new", "-key", mqtt_key, "-subj", f"/CN={name}")
    return Request(node=name, token=token, mqtt_request=asked, ssh_host_key=public)


def _mqtt_key(file: Path) -> Path:
    if not file.exists():
        beside = file.with_name(file.name + ".new")
        curve = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
        _run("openssl", "genpkey", *curve, "-out", beside)
        beside.rename(file)  # so that a key cut short is never taken for one
    return file


def _host_key(file: Path, name: str) -> Path:
    public = file.with_name(file.name + ".pub")
    if not file.exists() or not public.exists():
        file.unlink(missing_ok=True)
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", file)
    return file


def _give_to_agent(file: Path) -> None:
    try:
        user = pwd.getpwnam(_AGENT_USER)
    except KeyError:
        return  # the agent's package, which makes its user, is not installed yet
    os.chown(file, user.pw_uid, user.pw_gid)


def _run(*command: object) -> str:
    try:
        done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise EnrolError(f"{command[0]} is missing; put it on the image") from error
    except subprocess.CalledProcessError as error:
        raise EnrolError(f"{command[0]}: {error.stderr.strip()[-300:]}") from error
    return done.stdout
