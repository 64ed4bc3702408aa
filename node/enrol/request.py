"""Makes the node's keys and asks for their certificates; the keys never leave the node."""

import os
import pwd
import re
from pathlib import Path

from msgspec import Struct

from node.enrol.errors import EnrolError
from node.enrol.files import rename_whole, settle
from node.enrol.places import Places, pending, public_part
from node.enrol.programs import run_program
from node.messages import NODE_NAME_PATTERN

_AGENT_USER = "simpul"


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
        if not re.fullmatch(NODE_NAME_PATTERN, name):
            raise EnrolError(f"{places.hostname}: {name!r} is no node's name; flash the card again")
        token = places.token.read_text(encoding="utf-8").strip() if places.token.exists() else ""
        for folder in (places.identity, places.ssh):
            # Open to all: the agent, who is not root, has to come to its key.
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        mqtt_key = _mqtt_key(pending(places.mqtt_key))
        public = _host_key(pending(places.host_key), name)
    except OSError as error:
        if isinstance(error, EnrolError):
            raise
        raise EnrolError(f"{error.filename}: {error.strerror}; this command needs root") from error
    asked = run_program("openssl", "req", "-new", "-key", mqtt_key, "-subj", f"/CN={name}")
    return Request(node=name, token=token, mqtt_request=asked, ssh_host_key=public)


def _mqtt_key(file: Path) -> Path:
    """Make the key, readable by its owner only from its first moment (genpkey does so)."""
    if not file.exists():
        beside = file.with_name(file.name + ".new")
        curve = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
        run_program("openssl", "genpkey", *curve, "-out", beside)
        settle(beside)
        rename_whole(beside, file)  # so that a key cut short is never taken for one
    _give_to_agent(file)
    return file


def _host_key(file: Path, name: str) -> str:
    """Make the key, which is there once its private part is; return its public part."""
    public = public_part(file)
    if not _is_written(file) or not _is_written(public):
        beside = file.with_name(file.name + ".new")
        for left in (beside, public_part(beside), file):
            left.unlink(missing_ok=True)  # ssh-keygen asks before it overwrites a key
        run_program("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", beside)
        settle(beside, public_part(beside))
        rename_whole(public_part(beside), public)
        rename_whole(beside, file)
    return public.read_text(encoding="utf-8").strip()


def _is_written(file: Path) -> bool:
    """Tell whether a file holds something: before it settled, a cut left it there but empty."""
    return file.exists() and file.stat().st_size > 0


def _give_to_agent(file: Path) -> None:
    try:
        user = pwd.getpwnam(_AGENT_USER)
    except KeyError:
        return  # the agent's package, which makes its user, is not installed yet
    os.chown(file, user.pw_uid, user.pw_gid)
