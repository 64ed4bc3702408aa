"""Finds a node on the cable or the LAN: whoever shows the host key that its card was given."""

import ipaddress
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterable

import msgspec

from provisioning.enrol.connection import SSH_PORT
from provisioning.enrol.errors import EnrolError
from provisioning.inventory import Node

_SCAN_TIMEOUT_S = 3
_PAUSE_S = 1.0


class Neighbour(msgspec.Struct, frozen=True):
    """One line of `ip -json neigh` (ip-neighbour(8)); other fields are skipped."""

    dst: str
    dev: str = ""
    state: tuple[str, ...] = ()


def wait_for_node(
    node: Node,
    keys: Collection[str],
    *,
    address: str = "",
    port: int = SSH_PORT,
    timeout_s: float = 300.0,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[str, str]:
    """Return the address at which a machine shows one of `keys`, and which one.

    Asked are `address` alone when given, else the inventory's, else the node's name by DNS and mDNS
    and then everybody the LAN has shown (ARP, NDP). Raises EnrolError after `timeout_s`.
    """
    end_mono = time.monotonic() + timeout_s
    pause = threading.Event()  # nothing announces a machine that comes up
    asked: list[str] = []
    while True:
        for each in [address or node.address] if address or node.address else candidates(node.name):
            if each not in asked:
                asked.append(each)
                say(f"{node.name}: looking at {each}")
            shown = host_key(each, port)
            if shown in keys:
                return each, shown
        if time.monotonic() >= end_mono:
            raise EnrolError(
                f"{node.name}: nobody with its key within {timeout_s:g} s"
                f" (asked: {', '.join(asked) or 'nobody answers on this LAN'});"
                " has it power and cable? name its address with --address"
            )
        pause.wait(_PAUSE_S)


def candidates(name: str) -> Iterable[str]:
    """Return addresses at which a node of this name may be, the likeliest first."""
    found: dict[str, None] = {}
    for host in (f"{name}.local", name):
        try:
            answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError:
            continue
        found.update(dict.fromkeys(str(answer[4][0]) for answer in answers))
    try:
        shown = subprocess.run(["ip", "-json", "neigh"], capture_output=True, check=True).stdout  # noqa: S607 - as found on PATH
    except (OSError, subprocess.CalledProcessError):
        return list(found)
    found.update(dict.fromkeys(parse_neighbours(shown)))
    return list(found)


def parse_neighbours(text: bytes) -> list[str]:
    """Return the addresses of `ip -json neigh` that answered, link-local ones with their scope.

    Raises EnrolError when it is something else.
    """
    try:
        neighbours = msgspec.json.decode(text or b"[]", type=list[Neighbour])
        return [
            f"{each.dst}%{each.dev}" if _needs_scope(each.dst) else each.dst
            for each in neighbours
            if "FAILED" not in each.state
        ]
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise EnrolError(
            f"ip -json neigh answers what its manual does not know: {error}"
        ) from error


def host_key(host: str, port: int) -> str:
    """Return the ed25519 host key that `host` shows, "" when it shows none (ssh-keyscan(1)).

    Whether it also holds the private key is proven by the connection that follows.
    """
    line = ["ssh-keyscan", "-T", str(_SCAN_TIMEOUT_S), "-t", "ed25519", "-p", str(port), host]
    try:
        shown = subprocess.run(line, capture_output=True, check=False, text=True).stdout
    except OSError as error:
        raise EnrolError("ssh-keyscan is missing; apt-get install openssh-client") from error
    for each in shown.splitlines():
        words = each.split()
        if not each.startswith("#") and len(words) == 3:  # noqa: PLR2004 - host, kind, key
            return " ".join(words[1:])
    return ""


def _needs_scope(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    return parsed.version == 6 and parsed.is_link_local  # noqa: PLR2004 - IPv6
