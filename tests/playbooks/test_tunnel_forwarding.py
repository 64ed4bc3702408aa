"""An IPv6 tunnel leads nodes' packets on, and leaves the hub its own way out; in real networks.

A router announces itself to the hub's network; a machine behind another interface is a bystander.
"""

import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from services.waiting import until

PROGRAM = Path(__file__).parents[2] / "playbooks/roles/tunnel/files/forward"
TUNNEL = "tun-test"
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("nft"), reason="needs root and nftables"
)
# RFC 4861, 4.2 and 4.6.2: a router for half an hour, and the network's prefix.
_PREFIX = socket.inet_pton(socket.AF_INET6, "2001:db8:1::")
_ANNOUNCEMENT = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
_ANNOUNCEMENT += struct.pack("!BBBBIII16s", 3, 4, 64, 0xC0, 86400, 14400, 0, _PREFIX)
_ANNOUNCE = f"""
import socket
out = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
out.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
out.sendto({_ANNOUNCEMENT!r}, ("ff02::1", 0, 0, socket.if_nametoindex("up0")))
"""


class Hub:
    """Namespaces: the hub, its router, and a bystander at another interface of the hub."""

    def __init__(self) -> None:
        self.names = {place: f"fwd-{place}-{os.getpid()}" for place in ("hub", "router", "other")}

    def at(self, place: str, *words: str, check: bool = True) -> str:
        line = ["ip", "netns", "exec", self.names[place], *words]
        return subprocess.run(line, check=check, capture_output=True, text=True).stdout

    def set(self, place: str, key: str, value: int) -> None:
        self.at(place, "sysctl", "-qw", f"net.ipv6.conf.{key}={value}")

    def shown(self, key: str) -> str:
        return self.at("hub", "sysctl", "-n", f"net.ipv6.conf.{key}").strip()

    def way_out(self) -> str:
        return self.at("hub", "ip", "-6", "route", "show", "default")

    def announce(self) -> None:
        """Have the router say that it is one, until the hub believes it anew."""
        self.at("hub", "ip", "-6", "route", "del", "default", check=False)
        until(self.announced, "the router's announcement")

    def announced(self) -> bool:
        # It has an address to speak from only a moment after its link is up.
        self.at("router", "python3", "-c", _ANNOUNCE, check=False)
        return bool(self.way_out())

    def tunnel(self, verb: str) -> None:
        self.at("hub", "sh", str(PROGRAM), verb, TUNNEL)


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub()
    for name in made.names.values():
        subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for place, link in (("router", "eth0"), ("other", "eth1")):
            line = ["link", "add", link, "type", "veth", "peer", "name", "up0", "netns"]
            made.at("hub", "ip", *line, made.names[place])
            for where, name in (("hub", link), (place, "up0")):
                made.set(where, f"{name}.accept_dad", 0)
                made.at(where, "ip", "link", "set", name, "up")
        made.set("hub", "eth0.accept_ra", 1)
        made.set("hub", "eth1.accept_ra", 0)
        made.announce()
        yield made
    finally:
        for name in made.names.values():
            subprocess.run(["ip", "netns", "delete", name], check=True)
        for file in Path("/run").glob(f"{TUNNEL}-forward.*"):
            file.unlink()


def test_the_hub_keeps_its_way_out(hub: Hub) -> None:
    hub.tunnel("up")
    assert hub.shown("all.forwarding") == "1"
    assert hub.way_out()
    hub.announce()
    assert (hub.shown("eth0.accept_ra"), hub.shown("eth1.accept_ra")) == ("2", "0")
    hub.tunnel("up")
    hub.tunnel("down")
    assert (hub.shown("all.forwarding"), hub.shown("eth0.accept_ra")) == ("0", "1")
    assert hub.way_out()
    assert hub.at("hub", "nft", "list", "tables") == ""
    hub.tunnel("down")


def test_it_is_taken_back_though_somebody_emptied_the_rules(hub: Hub) -> None:
    hub.tunnel("up")
    hub.at("hub", "nft", "flush", "ruleset")
    hub.tunnel("down")
    assert (hub.shown("all.forwarding"), hub.shown("eth0.accept_ra")) == ("0", "1")
    assert not [*Path("/run").glob(f"{TUNNEL}-forward.*")]


def test_nobody_else_is_led_on(hub: Hub) -> None:
    hub.at("hub", "ip", "address", "add", "2001:db8:2::1/64", "dev", "eth1", "nodad")
    hub.at("other", "ip", "address", "add", "2001:db8:2::2/64", "dev", "up0", "nodad")
    hub.at("other", "ip", "route", "add", "default", "via", "2001:db8:2::1")
    hub.at("hub", "ip", "address", "add", "2001:db8:1::9/64", "dev", "eth0", "nodad")
    hub.at("router", "ip", "address", "add", "2001:db8:1::1/64", "dev", "up0", "nodad")
    hub.at("router", "ip", "route", "add", "2001:db8:2::/64", "via", "2001:db8:1::9")
    pings = ("sh", "-c", "busybox ping -6 -c1 -W1 2001:db8:1::1 > /dev/null && echo there || true")
    hub.tunnel("up")
    assert hub.at("other", *pings) == ""
    hub.at("hub", "nft", "flush", "ruleset")
    assert hub.at("other", *pings) == "there\n", "but for the filter, they would be"


def test_a_machine_that_leads_on_already_is_left_alone(hub: Hub) -> None:
    hub.set("hub", "all.forwarding", 1)
    hub.tunnel("up")
    assert hub.shown("eth0.accept_ra") == "1"
    assert hub.at("hub", "nft", "list", "tables") == ""
    hub.tunnel("down")
    assert hub.shown("all.forwarding") == "1"
