"""On a stock Raspberry Pi OS the radio is the access point's, and is not blocked."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from services.debian_server import why_no_server
from services.namespaced import why_no_namespaces
from services.provisioned import NODE, Played

if TYPE_CHECKING:
    from conftest import City

WHY_NOT = why_no_server() or why_no_namespaces()
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT),
    pytest.mark.timeout(1200),
]
TAGS = ("--tags", "agent,hotspot")
WANTED = json.dumps({"agent_hotspot_ssid": "Wi-Fi Gratis", "agent_hotspot_interface": "wlan9"})
CLIENTS = ("wpa_supplicant.service", "wpa_supplicant@wlan9.service")
UNMANAGED = "/etc/NetworkManager/conf.d/10-simpul.conf"
# What this kernel has not: they say how they were called.
PROGRAMS = {"/usr/bin/nmcli": "nmcli", "/usr/sbin/rfkill": "rfkill", "/usr/sbin/NetworkManager": ""}


@pytest.fixture(autouse=True)
def stock(city: "City") -> Iterator[None]:
    """Put NetworkManager there; at the end there is neither it nor an access point."""
    run = city.system.run
    for path, name in PROGRAMS.items():
        script = f'#!/bin/sh\necho "$0 $*" >> /run/{name or "none"}.log\n'
        run("sh", "-ec", f"printf '%s' '{script}' > {path}; chmod 755 {path}")
    run("mkdir", "-p", "/etc/NetworkManager/conf.d")
    yield
    played = city.play("site.yml", *TAGS)
    assert played.status == 0, played.said[-6000:]
    assert run("ls", UNMANAGED, check=False).stdout == ""
    run("rm", "-rf", "/etc/NetworkManager", *PROGRAMS)


def log(city: "City", name: str) -> str:
    return city.system.run("cat", f"/run/{name}.log", check=False).stdout


def test_the_radio_is_let_go_and_unblocked(city: "City") -> None:
    played = city.play("site.yml", *TAGS, "-e", WANTED)
    assert played.status == 0, played.said[-6000:]
    text = city.system.run("cat", UNMANAGED).stdout
    assert "[keyfile]\nunmanaged-devices+=interface-name:wlan9\n" in text
    assert log(city, "nmcli") == "/usr/bin/nmcli general reload conf\n"
    assert "/usr/sbin/rfkill unblock wifi\n" in log(city, "rfkill"), "before hostapd"
    again = city.play("site.yml", *TAGS, "-e", WANTED)
    assert (again.status, again.changed) == (0, {NODE: 0}), again.said[-6000:]
    assert len(log(city, "nmcli").splitlines()) == 1
    # There is no radio here, so hostapd does not run; that is told, and by its name.
    told = city.play("verify.yml", "--limit", NODE, "-e", WANTED)
    assert told.status != 0
    assert "simpul-hotspot-hostapd.service" in told.said


@pytest.fixture
def unmanaged(city: "City") -> Iterator[None]:
    """Have a stock Debian instead: no NetworkManager, and the client of Wi-Fi by itself."""
    run = city.system.run
    run("rm", "/usr/sbin/NetworkManager")
    service = "[Service]\nExecStart=sleep 1000\n"
    for name in ("wpa_supplicant", "wpa_supplicant@"):
        run("sh", "-ec", f"printf '{service}' > /usr/lib/systemd/system/{name}.service")
    run("touch", "/usr/sbin/wpa_supplicant")
    run("systemctl", "daemon-reload")
    run("systemctl", "start", *CLIENTS)
    yield
    run("systemctl", "unmask", *CLIENTS, check=False)
    run("systemctl", "stop", *CLIENTS)
    run("sh", "-ec", "rm -f /usr/lib/systemd/system/wpa_supplicant* /usr/sbin/wpa_supplicant")
    run("sh", "-ec", "rm -rf /etc/network; systemctl daemon-reload")


@contextmanager
def radio(city: "City", *addresses: str, route: str = "") -> Iterator[None]:
    """Have a link with the radio's name: its addresses, and a route by it."""
    run = city.system.run
    run("ip", "link", "add", "wlan9", "type", "veth", "peer", "name", "far9")
    try:
        for each in ("wlan9", "far9"):
            run("ip", "link", "set", each, "up")
        for each in addresses:
            # No duplicate is looked for: the address is there at once.
            run("ip", "address", "add", each, "dev", "wlan9", *["nodad"] * (":" in each))
        if route:
            run("ip", *route.split(), "dev", "wlan9")
        yield
    finally:
        run("ip", "link", "del", "wlan9")


def states(city: "City", *units: str) -> list[str]:
    """Return of each unit whether it is masked, and whether it runs, in systemctl's order."""
    shown = city.system.run("systemctl", "show", "-P", "LoadState", "-P", "ActiveState", *units)
    return shown.stdout.split()


def assert_refused(played: Played) -> None:
    assert played.status != 0
    assert "one radio cannot be both" in " ".join(played.said.split())
    assert played.changed == {NODE: 0}


@pytest.mark.parametrize(
    ("address", "route"),
    [
        ("192.0.2.2/24", "route append default via 192.0.2.1"),
        ("2001:db8::2/64", "-6 route append default via 2001:db8::1"),
    ],
    ids=["IPv4", "IPv6"],
)
def test_a_radio_that_is_the_nodes_way_out_stays_so(city: "City", address: str, route: str) -> None:
    with radio(city, address, route=route):
        assert_refused(city.play("site.yml", *TAGS, "-e", WANTED))
    assert city.system.run("ls", UNMANAGED, check=False).stdout == ""


@pytest.mark.usefixtures("unmanaged")
@pytest.mark.parametrize("how", ["route", "controller", "ifupdown"])
def test_where_nobody_manages_it_as_well(city: "City", how: str) -> None:
    words = ["site.yml", "--tags", "hotspot", "-e", WANTED]
    route = "route append default via 192.0.2.1" if how == "route" else ""
    if how == "controller":
        words += ["-e", "ansible_host=192.0.2.2"]
    if how == "ifupdown":
        lines = r"allow-hotplug wlan9\niface wlan9 inet dhcp\n"
        put = f"mkdir -p /etc/network; printf '{lines}' > /etc/network/interfaces"
        city.system.run("sh", "-ec", put)
    with radio(city, "192.0.2.2/24", route=route):
        assert_refused(city.play(*words))
        assert_refused(city.play(*words, "--check"))
    assert states(city, *CLIENTS) == ["loaded", "active"] * 2


@pytest.mark.usefixtures("unmanaged")
def test_a_stock_radio_is_no_client_any_more_and_no_rules_are_lost(city: "City") -> None:
    run = city.system.run
    run("systemctl", "unmask", "nftables.service")
    run("systemctl", "start", "nftables.service")
    run("nft", "add", "table", "inet", "simpul-tunnel")
    try:
        played = city.play("site.yml", *TAGS, "-e", WANTED)
        assert played.status == 0, played.said[-6000:]
        assert "simpul-tunnel" in run("nft", "list", "tables").stdout
        again = city.play("site.yml", *TAGS, "-e", WANTED)
        assert (again.status, again.changed) == (0, {NODE: 0}), again.said[-6000:]
    finally:
        run("nft", "delete", "table", "inet", "simpul-tunnel", check=False)
    assert states(city, *CLIENTS) == ["masked", "inactive"] * 2
    assert states(city, "nftables.service")[0] == "masked"
