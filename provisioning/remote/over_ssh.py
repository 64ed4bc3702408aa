"""Helps nodes over SSH as the technician: reads their journal, opens a shell, starts them anew."""

import re
import shlex
import subprocess
import time
from collections.abc import Iterator

from fabric import Connection
from msgspec import Struct

from provisioning.enrol.connection import Reach, Trust, ssh_options
from provisioning.remote.errors import RemoteError, SilentError
from provisioning.seed.sshd import REBOOT
from provisioning.update.errors import UnreachableError
from provisioning.update.link import Way, answer, answering, opened, translated

_UNIT = re.compile(r"[A-Za-z0-9@._*:-]*")
_TIMEOUT_S = 60
_POLL_S = 2.0
_SSH_FAILED = 255  # ssh(1)
_SAID_CHARACTERS_MAX = 500
# The boot, and the first process of this start: a container's boot is its machine's.
_START = "cat /proc/sys/kernel/random/boot_id && cut -d ' ' -f 22 /proc/1/stat"


class Journal(Struct, frozen=True, kw_only=True):
    """Which lines of the journal are wanted (journalctl(1)); no unit is the whole system."""

    unit: str = "simpul-*"
    lines: int = 100
    since: str = ""
    priority: str = ""
    follow: bool = False


def journal_command(journal: Journal) -> str:
    """Return the command for the node's shell. Raises RemoteError for what is no unit."""
    if not _UNIT.fullmatch(journal.unit):
        raise RemoteError(f"{journal.unit!r} is no unit; write one such as simpul-node.service")
    words = ["journalctl", "--no-pager", "--output=short-iso", f"--lines={journal.lines}"]
    if journal.unit:
        words.append(f"--unit={journal.unit}")
    if journal.since:
        words.append(f"--since={journal.since}")
    if journal.priority:
        words.append(f"--priority={journal.priority}")
    if journal.follow:
        words.append("--follow")
    return shlex.join(words)


def read_journal(way: Way, journal: Journal) -> Iterator[str]:
    """Yield every line as it comes; with `follow` there is always another.

    Raises RemoteError, UnreachableError.
    """
    with opened(way) as connection:
        yield from _run(connection, journal_command(journal), follow=journal.follow)


def open_shell(node: str, way: Way) -> int:
    """Give the terminal to a shell on the node, by ssh(1); return the shell's exit status.

    ssh(1), unlike Fabric, is a whole terminal: the size of the window, Ctrl-C, every key. It is
    told the same pinned keys, and believes no other. Raises UnreachableError, RemoteError.
    """
    known = "".join(f"{node} {key}\n" for key in way.host_keys)
    reach = Reach(host=way.host, port=way.port, user=way.user, identity_file=way.identity_file)
    with ssh_options(reach, node, Trust(known_hosts=known.encode(), krl=b"")) as options:
        line = ["ssh", *options, "-t", "-p", str(way.port), "-l", way.user, "--", way.host]
        try:
            done = subprocess.run(line, check=False)
        except FileNotFoundError as error:
            raise RemoteError("ssh is missing; apt-get install openssh-client") from error
    if done.returncode == _SSH_FAILED:
        raise UnreachableError(f"{node}: ssh could not stay connected to {way.host}; see above")
    return done.returncode


def reboot(way: Way, within_s: float) -> float:
    """Start the node anew; return after how many seconds it was back.

    Raises UnreachableError when it did not answer before, RemoteError when it refuses, and
    SilentError when it is not back in time.
    """
    with opened(way) as connection:
        before = _start_of(connection)
        begun_mono = time.monotonic()
        _order_reboot(connection)
    while (elapsed_s := time.monotonic() - begun_mono) < within_s:
        time.sleep(_POLL_S)  # a node that comes back tells nobody
        try:
            with opened(way) as connection:
                if _start_of(connection) != before:
                    return round(time.monotonic() - begun_mono, 1)
        except UnreachableError:
            continue
    raise SilentError(
        f"belum kembali / not back after {elapsed_s:.0f} s; it may still come: simpul status"
    )


def _order_reboot(connection: Connection) -> None:
    try:
        done = answer(connection, f"sudo -n {REBOOT}", _TIMEOUT_S)
    except UnreachableError:
        return  # it went down faster than it answered
    if done.failed:
        raise RemoteError(f"it refuses: {done.stderr.strip()[-_SAID_CHARACTERS_MAX:]}")


def _start_of(connection: Connection) -> str:
    """Return what is another after every start. Raises UnreachableError, also amid a shutdown."""
    done = answer(connection, _START, _TIMEOUT_S)
    if done.failed:
        said = done.stderr.strip()[-_SAID_CHARACTERS_MAX:]
        raise UnreachableError(f"{connection.host}: does not tell when it started: {said}")
    return str(done.stdout)


def _run(connection: Connection, command: str, *, follow: bool) -> Iterator[str]:
    """Yield the lines of what `command` says.

    By Paramiko, because Fabric's run() reads in threads, which hear of no Ctrl-C.
    """
    with translated(str(connection.host)):
        with answering(connection):
            channel = connection.transport.open_session()
            channel.exec_command(command)
        channel.settimeout(None if follow else _TIMEOUT_S)
        for line in channel.makefile("rb"):
            yield line.decode(errors="replace").rstrip("\n")
        said = channel.makefile_stderr("rb").read().decode(errors="replace").strip()
        status = channel.recv_exit_status()
    if status < 0:
        raise UnreachableError(f"{connection.host}: the connection ended before the journal did")
    if status > 0:
        raise RemoteError(said[-_SAID_CHARACTERS_MAX:] or "journalctl failed")
