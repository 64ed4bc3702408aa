"""The tasks `simpul enrol` and `simpul checklist`; they hand over to what does the work."""

import sys
from pathlib import Path

from fabric import task
from invoke import Context, Exit

from provisioning.authority.authority import AUTHORITY_DIRECTORY, Authority
from provisioning.authority.passphrase import read_passphrase
from provisioning.broker_options import BROKER_HELP, broker_or_default, broker_or_none
from provisioning.enrol.attend import Patience, attend
from provisioning.enrol.connection import SSH_PORT, Reach, Trust
from provisioning.enrol.enrol import enrol, known_keys
from provisioning.enrol.errors import EnrolError
from provisioning.enrol.find import check_port, wait_for_node
from provisioning.enrol.handover import PLAYBOOK_FILE, provision
from provisioning.inventory import INVENTORY_FILE, find, nodes
from provisioning.printable import printable
from provisioning.register import REGISTER_FILE, Register

_EXIT_RED = 3
_HELP = {
    "node": "Its name in the inventory.",
    "inventory": "The inventory of nodes.",
    **BROKER_HELP,
    "timeout": "Seconds to wait for the node, and again for its first words.",
    "settle": "Seconds that a red line is then given to turn green.",
    "json": "Print the checklist as JSON.",
}


@task(
    name="enrol",
    positional=["node"],
    help=_HELP
    | {
        "address": "Where it answers; else the inventory's address, DNS, mDNS, then the LAN.",
        "port": "TCP port of its sshd.",
        "identity": "Your SSH key; its certificate (-cert.pub) lies beside it.",
        "directory": "Folder of the signing keys.",
        "register": "The register.",
        "passphrase-file": "File with the passphrase, nobody else may read it; else it is asked.",
        "playbook": "Sets the node up, once it is enrolled; none when empty.",
        "dry-run": "Say what would be done, and do nothing.",
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
    playbook: str = str(PLAYBOOK_FILE),
    broker: str = "",
    ca: str = "",
    certificate: str = "",
    key: str = "",
    timeout: float = 300.0,
    settle: float = 30.0,
    dry_run: bool = False,  # noqa: FBT001, FBT002 - an option of the command line
    json: bool = False,  # noqa: FBT001, FBT002 - as above
) -> None:
    """Bring a flashed node into the fleet; exit 0 all green, 3 something red, 1 failed.

    Waits until the node answers and shows the key that its card was given, certifies the keys that
    it makes, sets it up with the playbook, waits for its birth at the broker, and shows the
    technician's checklist. It may be called again at any time; nothing is done twice.
    """
    check_port(port)
    (chosen,) = find([node], nodes(Path(inventory)))
    authority = Authority(Path(directory), Register(Path(register)))
    keys = known_keys(authority.register, chosen)
    if playbook:
        _check_playbook(Path(playbook))
    if dry_run:
        where = address or chosen.address or "DNS, mDNS and the LAN"
        plan = f"would look for {node} by {where}, certify it, and run {playbook or 'no playbook'}"
        print(plan)  # noqa: T201 - the command's answer
        return
    passphrase = read_passphrase(Path(passphrase_file) if passphrase_file else None)
    signer = authority.unlock(passphrase, "mqtt", "ssh-host")
    host, shown = wait_for_node(
        chosen, keys, address=address, port=port, timeout_s=timeout, say=_tell
    )
    reach = Reach(host=host, port=port, identity_file=identity)
    for left in enrol(authority, signer, chosen, reach, shown=shown, say=_tell).unscrubbed:
        _tell(f"{node}: sisa di kartu / left on the card: {left}")
    if playbook:
        _tell(f"{node}: menyiapkan dengan / setting up by {playbook}")
        trust = Trust(known_hosts=authority.known_hosts(), krl=authority.krl())
        provision(Path(playbook), Path(inventory), chosen, reach, trust)
    access = broker_or_none(broker, ca, certificate, key)
    if access is None:
        _tell(f"{node}: terdaftar / enrolled; simpul checklist {node} --broker ...")
        return
    patience = Patience(birth_s=timeout, settle_s=settle)
    if not attend(node, access, patience, authority.register, as_json=json):
        raise Exit(code=_EXIT_RED)


@task(
    name="checklist",
    positional=["node"],
    help=_HELP | {"register": "Knows whether the view was confirmed."},
)
def show_checklist(  # noqa: PLR0913, PLR0917 - as above
    _context: Context,
    node: str,
    inventory: str = str(INVENTORY_FILE),
    broker: str = "",
    ca: str = "",
    certificate: str = "",
    key: str = "",
    register: str = str(REGISTER_FILE),
    timeout: float = 60.0,
    settle: float = 30.0,
    json: bool = False,  # noqa: FBT001, FBT002 - as above
) -> None:
    """Show the technician's checklist of a node; exit 0 all green, 3 something red, 1 failed."""
    find([node], nodes(Path(inventory)))
    access = broker_or_default(broker, ca, certificate, key)
    patience = Patience(birth_s=timeout, settle_s=settle)
    known = Register(Path(register))
    # Who only looks makes no register.
    if not attend(node, access, patience, known if known.exists else None, as_json=json):
        raise Exit(code=_EXIT_RED)


def _check_playbook(file: Path) -> None:
    try:
        why = "" if file.is_file() else "no such file"
    except OSError as error:
        why = f"{error.strerror}"
    if why:
        raise EnrolError(f"{file}: {why}; name one with --playbook, or none: --playbook ''")


def _tell(text: str) -> None:
    print(printable(text, keep="\n\t"), file=sys.stderr)  # noqa: T201 - beside the answer, which may be JSON
