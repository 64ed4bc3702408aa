"""On a stock Raspberry Pi OS the radio is the access point's, and is not blocked."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from services.debian_server import why_no_server
from services.namespaced import why_no_namespaces
from services.provisioned import NODE

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


def test_a_radio_that_is_the_nodes_way_out_stays_so(city: "City") -> None:
    run = city.system.run
    run("ip", "link", "add", "wlan9", "type", "veth", "peer", "name", "far9")
    try:
        run("ip", "address", "add", "192.0.2.2/24", "dev", "wlan9")
        for each in ("wlan9", "far9"):
            run("ip", "link", "set", each, "up")
        run("ip", "route", "append", "default", "via", "192.0.2.1", "dev", "wlan9")
        played = city.play("site.yml", *TAGS, "-e", WANTED)
    finally:
        run("ip", "link", "del", "wlan9")
    assert played.status != 0
    assert "one radio cannot be both" in played.said
    assert run("ls", UNMANAGED, check=False).stdout == ""
