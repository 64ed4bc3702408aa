"""Finds a node on the cable or the LAN: whoever shows the host key that its card was given."""

import re
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress

import msgspec

from provisioning.enrol.connection import SSH_PORT
from provisioning.enrol.errors import EnrolError
from provisioning.inventory import Node, host_and_port

_SCAN_TIMEOUT_S = 3
_PAUSE_S = 1.0
_PORT_MAX = 65535
_ECHO_WAIT_S = 0.5
_ALL_NODES = "ff02::1"
_ECHO_REQUEST = struct.pack("!BBHHH", 128, 0, 0, 0, 1)  # RFC 4443; the kernel adds id and checksum
_ECHO_REPLY = 129
_SCANNED = re.compile(r"(?:\[(?P<inner>[^]\s]+)\]:\d+|(?P<host>\S+)) (?P<key>ssh-ed25519 \S+)")


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
    """Return the address at which a machine shows one of `keys`, rather the first, and which one.

    Asked are `address` alone when given, else the inventory's, else everybody of `candidates`.
    Raises EnrolError after `timeout_s`, and at once for an address with another port than `port`.
    """
    check_port(port)
    end_mono = time.monotonic() + timeout_s
    pause = threading.Event()  # nothing announces a machine that comes up
    named = _named_host(address or node.address, port)
    if not address and named == node.name:
        named = ""  # the inventory tells its port only
    asked: dict[str, None] = {}
    while True:
        hosts = [named] if named else candidates(node.name)
        for each in hosts:
            if each not in asked:
                asked[each] = None
                say(f"{node.name}: mencari di {each} / looking there")
        shown = host_keys(hosts, port)
        for key in keys:
            for host in hosts:
                if shown.get(host) == key:
                    return host, key
        if time.monotonic() >= end_mono:
            raise EnrolError(
                f"{node.name}: nobody with its key within {timeout_s:g} s"
                f" (asked: {', '.join(asked) or 'nobody answers on this LAN'});"
                " has it power and cable? name its address with --address"
            )
        pause.wait(_PAUSE_S)


def check_port(port: int) -> None:
    """Raise EnrolError for a number that is no TCP port; ssh-keyscan would say so to nobody."""
    if not 1 <= port <= _PORT_MAX:
        raise EnrolError(f"--port {port}: choose 1 to {_PORT_MAX}; sshd listens at {SSH_PORT}")


def _named_host(address: str, port: int) -> str:
    """Return the host of an address that may end in its port, as one of the inventory does."""
    host, named = host_and_port(address)
    if named not in {None, str(port)}:
        own = named if named and named.isdecimal() else SSH_PORT
        raise EnrolError(
            f"{address}: {host} is looked for at port {port}; tell its own apart, as in --port"
            f" {own}"
        )
    return host


def candidates(name: str) -> list[str]:
    """Return the addresses at which a node may be, the likeliest first.

    Its name by mDNS and DNS, as far as this system resolves them; every machine on a cable or LAN
    that answers to all nodes (IPv6; it takes no DHCP); and whoever spoke to this one before.
    """
    found: dict[str, None] = {}
    for host in (f"{name}.local", name):
        try:
            answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):  # nobody of that name; or no host can have it (IDNA)
            continue
        found.update(dict.fromkeys(str(answer[4][0]) for answer in answers))
    found.update(dict.fromkeys(machines_on_links()))
    try:
        shown = subprocess.run(["ip", "-json", "neigh"], capture_output=True, check=True).stdout  # noqa: S607 - as found on PATH
    except (OSError, subprocess.CalledProcessError):
        return list(found)
    found.update(dict.fromkeys(parse_neighbours(shown)))
    return list(found)


def machines_on_links(wait_s: float = _ECHO_WAIT_S) -> list[str]:
    """Return the link-local addresses that answer an echo request to all nodes (RFC 4291, 2.7.1).

    [] where this user may send none.
    """
    echo = _echo_socket()
    if echo is None:
        return []
    end_mono = time.monotonic() + wait_s
    found: dict[str, None] = {}
    with echo:
        for index, _ in socket.if_nameindex():
            with suppress(OSError):  # this one has no IPv6, or is down
                echo.sendto(_ECHO_REQUEST, (_ALL_NODES, 0, 0, index))
        while (left_s := end_mono - time.monotonic()) > 0:
            echo.settimeout(left_s)
            try:
                answer, sender = echo.recvfrom(256)
            except OSError:  # nobody else within the time
                break
            if answer[:1] == bytes([_ECHO_REPLY]):
                found[f"{sender[0]}%{socket.if_indextoname(sender[3])}"] = None
    return list(found)


def _echo_socket() -> socket.socket | None:
    """Return a socket for echo requests: users may have one (icmp(7)), else root may."""
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        with suppress(OSError):
            return socket.socket(socket.AF_INET6, kind, socket.IPPROTO_ICMPV6)
    return None


def parse_neighbours(text: bytes) -> list[str]:
    """Return the addresses of `ip -json neigh` that answered, link-local ones with their scope.

    Raises EnrolError when it is something else.
    """
    try:
        neighbours = msgspec.json.decode(text or b"[]", type=list[Neighbour])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EnrolError(
            f"ip -json neigh answers what its manual does not know: {error}"
        ) from error
    return [
        f"{each.dst}%{each.dev}" if each.dst.startswith("fe80:") else each.dst
        for each in neighbours
        if "FAILED" not in each.state
    ]


def host_keys(hosts: Iterable[str], port: int) -> dict[str, str]:
    """Return the ed25519 host key that each of `hosts` shows, asked all at once (ssh-keyscan(1)).

    Whether it also holds the private key is proven by the connection that follows.
    """
    line = ["ssh-keyscan", "-T", str(_SCAN_TIMEOUT_S), "-t", "ed25519", "-p", str(port), "--"]
    asked = [host for host in hosts if not host.startswith("-")]
    if not asked:
        return {}
    try:
        shown = subprocess.run([*line, *asked], capture_output=True, check=False).stdout
    except OSError as error:
        raise EnrolError("ssh-keyscan is missing; apt-get install openssh-client") from error
    # Whatever stands on the LAN is asked, and may greet in bytes of any kind.
    found = parse_scan(shown.decode(errors="replace"))
    # Names are told in lower case, however they were asked for.
    keys = {host.lower(): key for host, key in found.items()}
    return {host: keys[host.lower()] for host in asked if host.lower() in keys}


def parse_scan(text: str) -> dict[str, str]:
    """Return host -> key of what ssh-keyscan prints: `host kind key` or `[host]:port kind key`."""
    matches = filter(None, map(_SCANNED.fullmatch, text.splitlines()))
    return {match["inner"] or match["host"]: match["key"] for match in matches}
