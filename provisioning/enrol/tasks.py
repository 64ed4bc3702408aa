"""The task `simpul enrol`; hands over to the modules that do the work."""

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from fabric import task
from invoke import Collection, Context, Exit
from rich.console import Console

from provisioning.authority.authority import AUTHORITY_DIRECTORY, Authority
from provisioning.authority.passphrase import read_passphrase
from provisioning.enrol.checklist import Check, all_good, checklist
from provisioning.enrol.connection import SSH_PORT, Reach
from provisioning.enrol.enrol import enrol, known_keys
from provisioning.enrol.find import wait_for_node
from provisioning.enrol.hear import Ear, listening_for
from provisioning.enrol.show import checklist_json, checklist_table, picture
from provisioning.inventory import INVENTORY_FILE, Node, find, nodes
from provisioning.listen import BrokerAccess
from provisioning.register import REGISTER_FILE, Register

_BROKER_VARIABLE = "SIMPUL_BROKER"
_EXIT_RED = 3
Provision = Callable[[Node, Reach], None]
"""Renders node.toml and starts the agent; a hook, so that enrolment knows no playbook."""


@task(
    name="enrol",
    positional=["node"],
    help={
        "node": "Its name in the inventory.",
        "address": "Where it answers; else the inventory's address, DNS, mDNS, then the LAN.",
        "port": "TCP port of its sshd.",
        "identity": "Your SSH key; its certificate (-cert.pub) lies beside it.",
        "inventory": f"Else {INVENTORY_FILE}.",
        "directory": f"Folder of the signing keys; else {AUTHORITY_DIRECTORY}.",
        "register": f"The register; else {REGISTER_FILE}.",
        "passphrase-file": "File with the passphrase, nobody else may read it; else it is asked.",
        "broker": f"mqtts://host:port for the checklist; else ${_BROKER_VARIABLE}; else no list.",
        "ca": "CA certificates (PEM) the broker is checked against.",
        "certificate": "Your certificate (PEM) for the broker.",
        "key": "Your private key (PEM) for the broker.",
        "timeout": "Seconds to wait for the node, and again for its first words.",
        "dry-run": "Say what would be done, and do nothing.",
        "json": "Print the checklist as JSON.",
    },
)
def enrol_node(  # noqa: PLR0913, PLR0917 - the options of a command line
    _context: Context,
    node: str,
    address: str = "",
    port: int = SSH_PORT,
    identity: str = "",
    inventory: str = str(INVENTORY_FILE),
    directory: str = str(AUTHORITY_DIRECTORY),
    register: str = str(REGISTER_FILE),
    passphrase_file: str = "",
    broker: str = "",
    ca: str = "",
    certificate: str = "",
    key: str = "",
    timeout: float = 300.0,
    dry_run: bool = False,  # noqa: FBT001, FBT002 - an option of the command line
    json: bool = False,  # noqa: FBT001, FBT002 - as above
) -> None:
    """Bring a flashed node into the fleet; exit 0 all green, 3 something red, 1 failed."""
    (chosen,) = find([node], nodes(Path(inventory)))
    authority = Authority(Path(directory), Register(Path(register)))
    keys = known_keys(authority.register, chosen)
    where = address or chosen.address or "DNS, mDNS and the LAN"
    if dry_run:
        print(f"would look for {node} by {where}, and certify it")  # noqa: T201 - the answer
        return
    passphrase = read_passphrase(Path(passphrase_file) if passphrase_file else None)
    signer = authority.unlock(passphrase)
    host, shown = wait_for_node(
        chosen, keys, address=address, port=port, timeout_s=timeout, say=_tell
    )
    reach = Reach(host=host, port=port, identity_file=identity)
    for left in enrol(authority, signer, chosen, reach, shown=shown, say=_tell).unscrubbed:
        _tell(f"{node}: seed not overwritten: {left}")
    url = broker or os.environ.get(_BROKER_VARIABLE, "")
    if not url:
        _tell(f"{node}: enrolled; provision it, then name a --broker to see its checklist")
        return
    access = BrokerAccess(url=url, ca_file=ca, certificate_file=certificate, key_file=key)
    if not await_checklist(chosen, access, timeout_s=timeout, as_json=json):
        raise Exit(code=_EXIT_RED)


def await_checklist(node: Node, access: BrokerAccess, *, timeout_s: float, as_json: bool) -> bool:
    """Wait for the node's birth and first words, show the checklist; return whether it is good."""
    with listening_for(node.name, access) as ear:
        if ear.wait_online(timeout_s):
            ear.wait_complete(timeout_s)
        return show_checklist(node, ear, Console(), as_json=as_json)


def show_checklist(node: Node, ear: Ear, console: Console, *, as_json: bool) -> bool:
    """Show the list (and the picture, and ask about it, at a terminal); return whether good."""
    confirmed = None
    if ear.still and not as_json:
        console.print(picture(ear.still, console))
        if sys.stdin.isatty():
            confirmed = _ask(console)
    checks: list[Check] = checklist(ear.view, now=datetime.now(UTC), view_confirmed=confirmed)
    good = all_good(checks)
    if as_json:
        print(checklist_json(node.name, checks, good=good))  # noqa: T201 - the command's answer
    else:
        console.print(checklist_table(node.name, checks))
    return good


def _ask(console: Console) -> bool:
    answer = console.input("Apakah ini arah yang benar? / Is this the right view? [y/t] ")
    return answer.strip().lower() in {"y", "ya", "yes"}


def _tell(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - beside the answer, which may be JSON


enrol_tasks = Collection(enrol_node)
