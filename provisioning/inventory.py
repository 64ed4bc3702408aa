"""Reads inventory.ini, the one list of nodes, through Ansible's own inventory manager."""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from node.messages import NODE_NAME_PATTERN, SimpulError

if TYPE_CHECKING:
    from ansible.inventory.group import Group
    from ansible.inventory.host import Host

INVENTORY_FILE = Path("inventory.ini")
_ALL_NODES = "nodes"
_WITH_PORT = re.compile(r"(?:\[(?P<inner>[^]]+)\]|(?P<host>[^:]+)):(?P<port>[^:]*)")
_SSH_PORT = "22"
_NAME_CHARACTERS_MAX = 63  # as in the contract (messages.Envelope): a label of DNS, RFC 1035


class InventoryError(SimpulError, ValueError):
    """The inventory cannot be read or says something impossible."""


class UnknownNodeError(InventoryError, LookupError):
    """A name that the inventory does not have."""


class Node(Struct, frozen=True, kw_only=True):
    """One node as the inventory has it.

    `site` is the innermost group below [nodes], written as node names are; `address` is Ansible's
    ansible_host, empty when the inventory gives none or the name itself; with an ansible_port that
    is not SSH's own it is host:port.
    """

    name: str
    title: str = ""
    site: str = ""
    address: str = ""


def nodes(inventory: Path = INVENTORY_FILE) -> list[Node]:
    """Return every host of the group [nodes], in the file's order.

    Raises InventoryError when the file is missing, malformed, or names a node as MQTT cannot.
    """
    try:
        there = inventory.is_file()
    except OSError as error:
        raise InventoryError(
            f"{inventory}: {error.strerror}; may you read it? name another with --inventory"
        ) from error
    if not there:
        raise InventoryError(f"{inventory}: no such file; name one with --inventory")
    # Half a second of imports, which commands without an inventory need not wait for.
    from ansible.errors import AnsibleError  # noqa: PLC0415
    from ansible.inventory.manager import InventoryManager  # noqa: PLC0415
    from ansible.parsing.dataloader import DataLoader  # noqa: PLC0415
    from ansible.template import Templar  # noqa: PLC0415
    from ansible.vars.manager import VariableManager  # noqa: PLC0415

    source = str(inventory.absolute())
    loader = DataLoader()
    try:
        manager = InventoryManager(loader=loader, sources=[source], parse=False)
        if not manager.parse_source(source):
            raise InventoryError(
                f"{inventory}: no inventory; what is wrong stands above, by Ansible"
            )
        manager.reconcile_inventory()
        if _ALL_NODES not in manager.groups:
            raise InventoryError(
                f"{inventory}: no group [{_ALL_NODES}]; list sites below [{_ALL_NODES}:children]"
            )
        everyone = manager.groups[_ALL_NODES]
        variables = VariableManager(loader=loader, inventory=manager)

        def worked_out(host: object) -> dict[str, object]:
            given: dict[str, object] = variables.get_vars(host=host, include_hostvars=False)
            # A node's address may be worked out, as that in its tunnel is.
            names = [name for name in ("ansible_host", "ansible_port") if name in given]
            templar = Templar(loader, given)
            return given | {name: templar.template(given[name]) for name in names}

        return [
            _node(host.name, worked_out(host), _site_in(host, inventory), inventory)
            for host in everyone.get_hosts()
        ]
    except AnsibleError as error:
        raise InventoryError(f"{inventory}: {error}") from error


def find(names: Iterable[str], known: Iterable[Node]) -> list[Node]:
    """Return the nodes of these names, in the order asked for.

    Raises UnknownNodeError, which suggests the nearest name, and InventoryError for a name twice.
    """
    by_name = {node.name: node for node in known}
    found: dict[str, Node] = {}
    for name in names:
        if name not in by_name:
            near = difflib.get_close_matches(name, by_name, n=1)
            hint = f"did you mean {near[0]}?" if near else "add it to the inventory first"
            raise UnknownNodeError(f"{name!r} is not in the inventory; {hint}")
        if name in found:
            raise InventoryError(f"{name} stands twice on the command line; name it once")
        found[name] = by_name[name]
    return list(found.values())


def site_of(host: "Host") -> str:
    """Return the innermost group below [nodes] that holds the host; empty when there is none.

    It is written as node names are. Raises InventoryError for two.
    """
    sites = [each for each in host.get_groups() if _is_site(each)]
    around = {each for site in sites for each in site.get_ancestors()}
    inner = sorted(each.name for each in sites if each not in around)
    if len(inner) > 1:
        raise InventoryError(
            f"{host.name} stands at two sites, [{inner[0]}] and [{inner[1]}]; only "
            f"sites belong below [{_ALL_NODES}:children], groups of another kind beside it"
        )
    return "".join(inner).replace("_", "-")


def _is_site(group: "Group") -> bool:
    return any(each.name == _ALL_NODES for each in group.get_ancestors())


def _site_in(host: "Host", inventory: Path) -> str:
    try:
        return site_of(host)
    except InventoryError as error:
        raise InventoryError(f"{inventory}: {error}") from error


def _node(name: str, variables: dict[str, object], site: str, inventory: Path) -> Node:
    if not re.fullmatch(NODE_NAME_PATTERN, name):
        raise InventoryError(
            f"{inventory}: {name!r} cannot be a node; use lower-case letters, digits and hyphens"
        )
    if len(name) > _NAME_CHARACTERS_MAX:
        raise InventoryError(
            f"{inventory}: {name!r} has {len(name)} characters; the name of a node, which is its"
            f" host name as well, has at most {_NAME_CHARACTERS_MAX}"
        )
    address = str(variables.get("ansible_host", ""))
    title = str(variables.get("title", ""))
    for text in (title, site, address):
        try:
            text.encode()
        except UnicodeEncodeError as error:  # Ansible keeps such bytes, which nobody can print
            raise InventoryError(
                f"{inventory}: {name}: {text!r} is no text in UTF-8; save the file anew as UTF-8"
            ) from error
    address = _with_port(address or name, str(variables.get("ansible_port", "")))
    return Node(name=name, title=title, site=site, address="" if address == name else address)


def host_and_port(address: str) -> tuple[str, str | None]:
    """Return the host of an address and the port that it names, if any.

    It is written `host:port`, of IPv6 `[address]:port` (RFC 3986); two colons and more without
    brackets are an IPv6 address.
    """
    match = _WITH_PORT.fullmatch(address)
    if match is None:
        return address, None
    return match["inner"] or match["host"], match["port"]


def _with_port(address: str, port: str) -> str:
    """Return host:port where the port is another than SSH's; an IPv6 address stands in brackets."""
    if port in {"", _SSH_PORT} or host_and_port(address)[1] is not None:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
