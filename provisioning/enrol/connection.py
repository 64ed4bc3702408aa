"""Speaks to a node by the system's own ssh(1), which knows its host by the register only."""

import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from provisioning.enrol.errors import EnrolError, NotYetError
from provisioning.seed.seed import TECHNICIAN

_CONNECT_TIMEOUT_S = 10
_COMMAND_TIMEOUT_S = 120
_SAID_CHARACTERS_MAX = 500
_STARTING_S = 30
_SSH_FAILED = 255  # ssh(1): an error of its own, not of the command
_NOT_YET = re.compile(r"kex_exchange_identification:|ssh: connect to host .*: Connection refused")
_PROGRAM = ("sudo", "-n", "/opt/simpul/current/bin/simpul-node")
SSH_PORT = 22


class Reach(Struct, frozen=True, kw_only=True):
    """How a node is reached: where, as whom, with which key (its certificate lies beside it)."""

    host: str
    port: int = SSH_PORT
    user: str = TECHNICIAN
    identity_file: str = ""
    program: tuple[str, ...] = _PROGRAM


class Trust(Struct, frozen=True, kw_only=True):
    """By what the host is believed: lines of known_hosts (sshd(8)), and OpenSSH's KRL."""

    known_hosts: bytes
    krl: bytes


def pinned(node: str, public_key: str, krl: bytes) -> Trust:
    """Return the trust in one key for one node, and in nothing else."""
    return Trust(known_hosts=f"{node} {public_key}\n".encode(), krl=krl)


@contextmanager
def ssh_options(reach: Reach, node: str, trust: Trust) -> Iterator[list[str]]:
    """Give the options by which ssh(1) believes `trust` and nothing else, while they are needed.

    There is no trust on first use: an unknown or changed host key ends a connection.
    """
    with tempfile.TemporaryDirectory() as directory:
        known_hosts, krl = Path(directory, "known_hosts"), Path(directory, "revoked.krl")
        known_hosts.write_bytes(trust.known_hosts)
        krl.write_bytes(trust.krl)
        options = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": _quoted(known_hosts),
            "GlobalKnownHostsFile": "/dev/null",
            "RevokedHostKeys": _quoted(krl),
            "HostKeyAlias": node,
            "UpdateHostKeys": "no",
            "ConnectTimeout": str(_CONNECT_TIMEOUT_S),
            "ServerAliveInterval": str(_CONNECT_TIMEOUT_S),
            "LogLevel": "ERROR",
        }
        if reach.identity_file:
            key = reach.identity_file.replace("%", "%%")  # which begins a token
            options |= {"IdentityFile": _quoted(key), "IdentitiesOnly": "yes"}
        words = ["-F", "/dev/null"]
        for key, value in options.items():
            words += ["-o", f"{key}={value}"]
        yield words


def _quoted(path: str | Path) -> str:
    """Return a path as one word for ssh_config(5)."""
    plain = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{plain}"'


def run_on(reach: Reach, node: str, trust: Trust, command: list[str], given: bytes = b"") -> bytes:
    """Run `command` on the node with `given` as its input; return its output. Raises EnrolError.

    A node in its first minutes may start its sshd anew right after it answered: a connection that
    ends before anything was said over it is tried again for `_STARTING_S`.
    """
    end_mono = time.monotonic() + _STARTING_S
    pause = threading.Event()  # nothing announces an sshd that comes up
    with ssh_options(reach, node, trust) as options:
        where = ["-T", "-p", str(reach.port), "-l", reach.user, "--", reach.host]
        while True:
            try:
                return _call(["ssh", *options, *where, *command], given, f"{node} at {reach.host}")
            except NotYetError:
                if time.monotonic() >= end_mono:
                    raise
                pause.wait(1)


def _call(line: list[str], given: bytes, who: str) -> bytes:
    try:
        done = subprocess.run(
            line, input=given, capture_output=True, check=True, timeout=_COMMAND_TIMEOUT_S
        )
    except FileNotFoundError as error:
        raise EnrolError("ssh is missing; apt-get install openssh-client") from error
    except subprocess.TimeoutExpired as error:
        raise EnrolError(
            f"{who}: no end within {_COMMAND_TIMEOUT_S} s; look at the cable"
        ) from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()[-_SAID_CHARACTERS_MAX:]
        # Only ssh's own first words: a command that was run may say the like, and is not run twice.
        if error.returncode == _SSH_FAILED and _NOT_YET.match(said):
            raise NotYetError(f"{who}: {said}") from error
        raise EnrolError(f"{who}: {said or f'exit status {error.returncode}'}") from error
    return done.stdout
