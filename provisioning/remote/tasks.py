"""The tasks `simpul shell`, `logs`, `snapshot`, `confirm-view` and others that help a node."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from fabric import task
from invoke import Context, Exit
from rich.console import Console

from provisioning.audit.log import AUDIT_FILE
from provisioning.broker_options import BROKER_HELP, broker_or_default
from provisioning.command.errors import UsageError
from provisioning.inventory import INVENTORY_FILE, Node, find, nodes
from provisioning.printable import printable
from provisioning.register import REGISTER_FILE, Register
from provisioning.remote.ask import asking, check_seconds
from provisioning.remote.confirm import confirmed_view
from provisioning.remote.errors import RemoteError
from provisioning.remote.many import each_node
from provisioning.remote.over_ssh import Journal, open_shell, read_journal, reboot
from provisioning.seed.seed import TECHNICIAN
from provisioning.update.station import access_to, ways_of

_WITHIN_S = 20.0
_WITHIN_MAX_S = 86_400.0
_HELP = {
    "node": "Its name in the inventory.",
    "nodes": "Their names in the inventory.",
    "inventory": f"Else {INVENTORY_FILE}.",
    "register": f"The host keys of the nodes; else {REGISTER_FILE}.",
    "audit": f"File of the audit log; else {AUDIT_FILE}.",
    "identity": "Your SSH key, which also signs the audit log; else your agent's.",
    "user": "The account on the node.",
}
_BROKER_HELP = BROKER_HELP | {"within": "Seconds to wait for an answer."}


def _help(*names: str) -> dict[str, str]:
    known = _HELP | _BROKER_HELP
    return {name: known[name] for name in ("inventory", "register", "audit", "identity", *names)}


@task(positional=["node"], help=_help("node", "user"))
def shell(
    _context: Context,
    node: str,
    inventory: str = str(INVENTORY_FILE),
    register: str = str(REGISTER_FILE),
    audit: str = str(AUDIT_FILE),
    identity: str = "",
    user: str = TECHNICIAN,
) -> None:
    """Open a shell on one node, as the technician; ends with the shell's own status."""
    access = access_to(inventory, register, audit, identity, user)
    way = ways_of(_chosen(inventory, [node]), access)[node]
    with access.log().doing("shell", (node,)):
        status = open_shell(node, way)
    if status:
        raise Exit(code=status)


@task(
    name="logs",
    positional=["nodes"],
    iterable=["nodes"],
    help=_help("nodes", "user")
    | {
        "unit": "A unit or a pattern of them; empty: the whole system.",
        "lines": "The last so many.",
        "since": 'A time, such as "2026-03-01 06:00" or "-1h".',
        "priority": "Only this and what is worse: err, warning, notice, info.",
        "follow": "Go on with what comes, until Ctrl-C; of one node.",
    },
)
def show_logs(  # noqa: PLR0913, PLR0917 - as above
    _context: Context,
    nodes: Sequence[str] | None = None,
    unit: str = "simpul-*",
    lines: int = 100,
    since: str = "",
    priority: str = "",
    follow: bool = False,  # noqa: FBT001, FBT002 - an option of the command line
    inventory: str = str(INVENTORY_FILE),
    register: str = str(REGISTER_FILE),
    audit: str = str(AUDIT_FILE),
    identity: str = "",
    user: str = TECHNICIAN,
) -> None:
    """Print what nodes wrote to their journals."""
    chosen = _chosen(inventory, nodes or ())
    if follow and len(chosen) > 1:
        raise RemoteError("--follow goes with one node; leave it out, or name one")
    access = access_to(inventory, register, audit, identity, user)
    ways = ways_of(chosen, access)
    journal = Journal(unit=unit, lines=lines, since=since, priority=priority, follow=follow)

    def work(name: str) -> str:
        prefix = f"{name} | " if len(chosen) > 1 else ""
        lines = (f"{prefix}{line}" for line in read_journal(ways[name], journal))
        if not follow:
            return "\n".join(lines)
        for line in lines:
            _say(line)
        return ""

    each_node("logs", [each.name for each in chosen], access.log(), work, _say, named=False)


@task(
    name="reboot",
    positional=["nodes"],
    iterable=["nodes"],
    help=_help("nodes", "user") | {"within": "Seconds in which each has to be back."},
)
def reboot_nodes(  # noqa: PLR0913, PLR0917 - as above
    _context: Context,
    nodes: Sequence[str] | None = None,
    within: float = 300.0,
    inventory: str = str(INVENTORY_FILE),
    register: str = str(REGISTER_FILE),
    audit: str = str(AUDIT_FILE),
    identity: str = "",
    user: str = TECHNICIAN,
) -> None:
    """Start nodes anew, and see them come back; exit 3 when one does not."""
    _check_within(within)
    chosen = _chosen(inventory, nodes or ())
    access = access_to(inventory, register, audit, identity, user)
    ways = ways_of(chosen, access)

    def work(name: str) -> str:
        return f"kembali setelah / back after {reboot(ways[name], within):g} s"

    each_node("reboot", [each.name for each in chosen], access.log(), work, _say)


@task(
    name="identify",
    positional=["nodes"],
    iterable=["nodes"],
    help=_help("nodes", *_BROKER_HELP) | {"seconds": "How long the lamp blinks."},
)
def identify_nodes(  # noqa: PLR0913, PLR0917 - as above
    _context: Context,
    nodes: Sequence[str] | None = None,
    seconds: float = 30.0,
    within: float = _WITHIN_S,
    broker: str = "",
    ca: str = "",
    certificate: str = "",
    key: str = "",
    inventory: str = str(INVENTORY_FILE),
    register: str = str(REGISTER_FILE),
    audit: str = str(AUDIT_FILE),
    identity: str = "",
) -> None:
    """Have the lamps of nodes blink, so that the box is found; exit 3 when one cannot."""
    check_seconds(seconds)
    _check_within(within)
    names = [each.name for each in _chosen(inventory, nodes or ())]
    access = access_to(inventory, register, audit, identity, TECHNICIAN)
    with asking(broker_or_default(broker, ca, certificate, key), names) as asked:

        def work(name: str) -> str:
            asked.identify(name, seconds, within)
            return f"lampu berkedip / its lamp blinks, {seconds:g} s"

        each_node("identify", names, access.log(), work, _say)


@task(
    name="snapshot",
    positional=["nodes"],
    iterable=["nodes"],
    help=_help("nodes", *_BROKER_HELP) | {"output": "Folder for the pictures."},
)
def take_snapshots(  # noqa: PLR0913, PLR0917 - as above
    _context: Context,
    nodes: Sequence[str] | None = None,
    output: str = ".",
    within: float = _WITHIN_S,
    broker: str = "",
    ca: str = "",
    certificate: str = "",
    key: str = "",
    inventory: str = str(INVENTORY_FILE),
    register: str = str(REGISTER_FILE),
    audit: str = str(AUDIT_FILE),
    identity: str = "",
) -> None:
    """Take a public, masked picture with each node now, and save it; exit 3 when one cannot."""
    _check_within(within)
    names = [each.name for each in _chosen(inventory, nodes or ())]
    access = access_to(inventory, register, audit, identity, TECHNICIAN)
    with asking(broker_or_default(broker, ca, certificate, key), names, stills=True) as asked:

        def work(name: str) -> str:
            still = asked.snapshot(name, within)
            file = Path(output, f"{name}-{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}.jpg")
            try:
                file.write_bytes(still)
            except OSError as error:
                raise RemoteError(f"{file}: {error.strerror}") from error
            return f"gambar / picture: {file}"

        each_node("snapshot", names, access.log(), work, _say)


@task(
    positional=["nodes"],
    iterable=["nodes"],
    help=_help("nodes", *_BROKER_HELP)
    | {"user": "The account on the node, which keeps the picture; the technician's may not."},
)
def confirm_view(  # noqa: PLR0913, PLR0917 - as above
    _context: Context,
    nodes: Sequence[str] | None = None,
    within: float = _WITHIN_S,
    broker: str = "",
    ca: str = "",
    certificate: str = "",
    key: str = "",
    inventory: str = str(INVENTORY_FILE),
    register: str = str(REGISTER_FILE),
    audit: str = str(AUDIT_FILE),
    identity: str = "",
    user: str = "root",
) -> None:
    """Look at what each camera sees now, and confirm that it is the right view; exit 3 if not."""
    _check_within(within)
    chosen = _chosen(inventory, nodes or ())
    access = access_to(inventory, register, audit, identity, user)
    ways, known, console = ways_of(chosen, access), Register(Path(register)), Console()
    names = [each.name for each in chosen]
    with asking(broker_or_default(broker, ca, certificate, key), names, stills=True) as asked:

        def work(name: str) -> str:
            still = asked.snapshot(name, within)
            return confirmed_view(name, still, ways[name], known, console)

        each_node("confirm-view", names, access.log(), work, _say, parallel=1)


def _check_within(seconds: float) -> None:
    if not 0 < seconds <= _WITHIN_MAX_S:  # nor is nan
        raise UsageError(
            f"--within {seconds:g}: write seconds, more than 0 and at most {_WITHIN_MAX_S:g}"
        )


def _chosen(inventory: str, names: Sequence[str]) -> list[Node]:
    if not names:
        raise RemoteError("which node? Name it; see simpul nodes")
    return find(names, nodes(Path(inventory)))


def _say(text: str) -> None:
    """Print what a node said, a whole line at once, and what was said before it has been read."""
    sys.stdout.write(printable(text, keep="\n\t") + "\n")
    sys.stdout.flush()
