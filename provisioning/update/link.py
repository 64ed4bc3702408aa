"""Speaks to a node over Fabric: the few steps of an update, on one connection.

The host is believed by its pinned key only: there is no trust on first use.
"""

import logging
import shlex
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeVar

import msgspec
import paramiko
from fabric import Config, Connection
from fabric.runners import Remote, Result
from invoke.exceptions import CommandTimedOut, ThreadException
from msgspec import Struct

from node.install.machine import Outcome, Standing
from provisioning.update.errors import NodeError, RefusedError, UnreachableError

PROGRAM = "/opt/simpul/current/bin/simpul-node"
INCOMING = PurePosixPath("/opt/simpul/incoming")
SSH_PORT = 22
_CONNECT_TIMEOUT_S = 15
_ASK_TIMEOUT_S = 60
_INSTALL_TIMEOUT_S = 900
_KEEPALIVE_S = 15
_SAID_CHARACTERS_MAX = 500
# Also for a name of a host that cannot be one.
_FAILURES = (
    OSError,
    EOFError,
    UnicodeError,
    OverflowError,
    paramiko.SSHException,
    CommandTimedOut,
    ThreadException,
)
_NO_KEY = "No authentication methods available"
"""Paramiko's words, which it raises with no class of their own."""
T = TypeVar("T", bound=Outcome)


class Way(Struct, frozen=True, kw_only=True):
    """How a node is reached, and the host keys (`ssh-ed25519 AAAA...`) that it may show.

    One that stalls, and takes or says nothing for `stall_s`, is not reached any more.
    """

    host: str
    port: int = SSH_PORT
    user: str = "root"
    identity_file: str = ""
    host_keys: tuple[str, ...] = ()
    stall_s: float = 60.0


class Trial(Struct, frozen=True, kw_only=True):
    """How long a node watches a new release, and how long it waits to be confirmed, in seconds."""

    confirm_within_s: float = 300.0
    soak_s: float = 20.0


class Session(Protocol):
    """What is asked of a node. Every method raises UnreachableError and NodeError."""

    def status(self) -> Standing:
        """Return how it stands."""

    def send(self, bundle: Path) -> str:
        """Bring a bundle to the node; return its name there."""

    def discard(self, bundle: str) -> None:
        """Remove what was sent, and is not to be installed now."""

    def install(self, bundle: str, release: str, trial: Trial) -> Outcome:
        """Install a bundle that is there, or at a URL, and return how it ended."""

    def confirm(self, release: str) -> Outcome:
        """Keep the release on trial."""

    def rollback(self, leaving: str) -> Outcome:
        """Go from that release to the one before, if the node has it; the node judges alone."""


class FabricSession:
    """A session over one SSH connection."""

    def __init__(self, connection: Connection, program: str = PROGRAM) -> None:
        """Use an open `connection`."""
        self._connection = connection
        self._program = program

    def status(self) -> Standing:
        """Ask the node's installer."""
        return self._ask(["status"], Standing, _ASK_TIMEOUT_S)

    def send(self, bundle: Path) -> str:
        """Put the file where the installer removes it after use."""
        remote = str(INCOMING / bundle.name)
        with files_of(self._connection) as files:
            if INCOMING.name not in files.listdir(str(INCOMING.parent)):
                files.mkdir(str(INCOMING), 0o700)
            try:
                files.put(str(bundle), remote)
            except OSError as error:
                if not _is_lost(self._connection, error):
                    # Half of it would keep full a disk that is.
                    with suppress(*_FAILURES):
                        files.remove(remote)
                raise
        return remote

    def discard(self, bundle: str) -> None:
        """Remove the file; from a node that is lost meanwhile the next installation removes it."""
        with suppress(UnreachableError, NodeError), files_of(self._connection) as files:
            files.remove(bundle)

    def install(self, bundle: str, release: str, trial: Trial) -> Outcome:
        """Call the installer; taken back is an outcome, not an error."""
        words = [bundle, f"--expect={release}", f"--confirm-within={trial.confirm_within_s:g}"]
        words.append(f"--soak={trial.soak_s:g}")
        return self._ask(words, Outcome, _INSTALL_TIMEOUT_S)

    def confirm(self, release: str) -> Outcome:
        """Call the installer."""
        return self._ask(["confirm", release], Outcome, _ASK_TIMEOUT_S)

    def rollback(self, leaving: str) -> Outcome:
        """Call the installer."""
        words = ["rollback", "--confirm-within=0", f"--expect={leaving}"]
        return self._ask(words, Outcome, _INSTALL_TIMEOUT_S)

    def _ask(self, words: Sequence[str], kind: type[T], timeout_s: float) -> T:
        command = shlex.join([self._program, "install", *words, "--json"])
        done = answer(self._connection, command, timeout_s)
        try:
            return msgspec.json.decode(done.stdout, type=kind)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise NodeError(_words_of(done.stdout, done.stderr)) from error


@contextmanager
def files_of(connection: Connection) -> Iterator[paramiko.SFTPClient]:
    """Give what sends files. Raises UnreachableError; NodeError for what the node refuses."""
    with translated(str(connection.host)):
        try:
            with answering(connection):
                files = connection.sftp()
            files.get_channel().settimeout(connection.config.stall_s)  # for each answer
            yield files
        except OSError as error:
            if _is_lost(connection, error):
                raise
            # SFTP says no more of a full disk than "Failure".
            raise NodeError(f"takes no file: {error}; is its disk full?") from error


def _is_lost(connection: Connection, error: OSError) -> bool:
    lost = isinstance(error, ConnectionError | TimeoutError)
    return lost or not connection.transport.is_active()


@contextmanager
def answering(connection: Connection) -> Iterator[None]:
    """Cut the connection when the node does not answer in time to what is asked of it within.

    Paramiko waits for ever until a node begins a command, or takes files.
    """
    stall_s = connection.config.stall_s
    late = threading.Event()

    def cut() -> None:
        late.set()
        connection.transport.close()

    timer = threading.Timer(stall_s, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except _FAILURES as error:
        if late.is_set():
            raise TimeoutError(f"did not answer within {stall_s:g} s") from error
        raise
    finally:
        timer.cancel()


class _PatientRemote(Remote):  # type: ignore[misc] # published without types
    """Looks ten times a second whether a command has ended, once the node has begun it in time.

    Fabric's own looks a hundred times, which costs more CPU than all the rest while a node watches
    its release.
    """

    input_sleep = 0.1

    def start(self, *words: object, **options: object) -> None:
        """Have the node begin the command."""
        with answering(self.context):
            super().start(*words, **options)


class _Pinned(paramiko.MissingHostKeyPolicy):  # type: ignore[misc] # published without types
    """Believes the keys it was given, and no other.

    Paramiko's own list keeps one key of a kind, and a node that is being given its next may show
    either.
    """

    def __init__(self, host_keys: Sequence[str]) -> None:
        self._pinned = {tuple(each.split()[:2]) for each in host_keys}

    def missing_host_key(
        self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey
    ) -> None:
        """Return when the key is believed. Raises SSHException."""
        del client
        if not self._pinned:
            raise paramiko.SSHException(
                f"no key of it is known, and {hostname} shows {key.fingerprint}; flash or enrol it"
            )
        if (key.get_name(), key.get_base64()) not in self._pinned:
            raise paramiko.SSHException(
                f"the key that {hostname} shows, {key.fingerprint}, does not match the register's; "
                "is this another machine, or a card that another station made?"
            )


@contextmanager
def connected(way: Way) -> Iterator[FabricSession]:
    """Open a session with the node. Raises UnreachableError."""
    with opened(way) as connection:
        yield FabricSession(connection)


@contextmanager
def opened(way: Way) -> Iterator[Connection]:
    """Open a connection to the node, known by its pinned keys.

    Raises UnreachableError, and RefusedError where it does not let anybody in.
    """
    # Its thread would print a trace of what is raised here as well.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    options: dict[str, object] = {"allow_agent": not way.identity_file, "look_for_keys": False}
    if way.identity_file:
        options["key_filename"] = way.identity_file
    connection = Connection(
        way.host,
        user=way.user,
        port=way.port,
        config=Config(
            overrides={"runners": {"remote": _PatientRemote}, "stall_s": way.stall_s},
            ssh_config=paramiko.SSHConfig(),  # not the technician's own: nodes are where we say
            lazy=True,
        ),
        connect_timeout=_CONNECT_TIMEOUT_S,
        connect_kwargs=options | dict.fromkeys(("banner_timeout", "auth_timeout"), 30),
    )
    connection.client.set_missing_host_key_policy(_Pinned(way.host_keys))
    with ExitStack() as stack:
        # Fabric closes only what it opened wholly: a refused login would stay open at the node.
        stack.callback(connection.client.close)
        stack.callback(connection.close)
        with translated(way.host):
            connection.open()
            connection.transport.set_keepalive(_KEEPALIVE_S)
            # Where a stalled node's buffers are full, Paramiko writes for ever; the kernel ends it.
            connection.transport.sock.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(way.stall_s * 1000)
            )
        yield connection


def answer(connection: Connection, command: str, timeout_s: float) -> Result:
    """Return what `command` said and its exit status, whatever that is. Raises UnreachableError."""
    with translated(str(connection.host)):
        done = connection.run(command, hide=True, warn=True, in_stream=False, timeout=timeout_s)
    if done.exited < 0:
        # No exit status came: the connection was cut, and what was called may well go on.
        raise UnreachableError(f"{connection.host}: the connection ended before the answer")
    return done


@contextmanager
def translated(host: str) -> Iterator[None]:
    """Turn what Paramiko and Fabric raise into UnreachableError, or RefusedError."""
    try:
        yield
    except _FAILURES as error:
        # Paramiko says who it is that is not believed; a name for what is silent.
        words = str(error) or type(error).__name__
        if isinstance(error, paramiko.AuthenticationException) or words == _NO_KEY:
            why = f"lets nobody in with your key and its certificate ({words}); has it ended?"
            raise RefusedError(f"{host}: {why}") from error
        raise UnreachableError(f"{host}: {words}") from error


def _words_of(stdout: str, stderr: str) -> str:
    try:
        return str(msgspec.json.decode(stdout, type=dict[str, object])["message"])
    except (msgspec.MsgspecError, KeyError, RecursionError):
        said = (stderr.strip() or stdout.strip())[-_SAID_CHARACTERS_MAX:]
        return said or "said nothing; look at its journal"
