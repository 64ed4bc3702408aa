"""By which interfaces a node goes out, and is come to, as the hotspot's role asks it."""

import os
import subprocess
from pathlib import Path

import pytest
from services.namespaced import why_no_namespaces

pytestmark = pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces() or "can")
WAYS = Path(__file__).parents[2] / "playbooks/roles/hotspot/files/ways.sh"
# A cable and a radio, in a network of their own.
LINKS = """
for name in eth9 wlan9; do
    ip link add $name type veth peer name far-$name
    ip link set far-$name up
    ip link set $name up
done
ip address add 192.0.2.2/24 dev eth9
ip address add 198.51.100.2/24 dev wlan9
ip address add 2001:db8::2/64 dev wlan9 nodad
"""
BY_CABLE = "ip route add default via 192.0.2.1"


def ways(setup: str, connection: str = "", how: str = 'sh "$0"') -> list[str]:
    """Return what is printed after `setup`, when sshd has told of this connection."""
    environment = {**os.environ, "SSH_CONNECTION": connection}
    if not connection:
        environment.pop("SSH_CONNECTION")
    done = subprocess.run(
        ["unshare", "--net", "sh", "-euc", f"{LINKS}\n{setup}\n{how}", str(WAYS)],
        check=True,
        capture_output=True,
        env=environment,
        text=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("setup", "expected"),
    [
        ("", set()),
        (BY_CABLE, {"eth9"}),
        ("ip route add default via 198.51.100.1", {"wlan9"}),
        ("ip -6 route add default via 2001:db8::1", {"wlan9"}),
        (f"{BY_CABLE}; ip -6 route add default via 2001:db8::1", {"eth9", "wlan9"}),
        (
            "ip route add default nexthop via 198.51.100.1 nexthop via 192.0.2.1",
            {"eth9", "wlan9"},
        ),
    ],
)
def test_every_default_route_is_a_way_out(setup: str, expected: set[str]) -> None:
    assert {*ways(setup)} == expected


@pytest.mark.parametrize(
    "connection",
    [
        "198.51.100.7 4711 198.51.100.2 22",
        "2001:db8::7 4711 2001:db8::2 22",
        "fe80::7%wlan9 4711 fe80::2%wlan9 22",
        # It answers by the cable, and was called by the radio's address.
        "203.0.113.7 4711 198.51.100.2 22",
    ],
)
# sudo hands on nothing of what sshd told.
@pytest.mark.parametrize("how", ['sh "$0"', 'env -i PATH="$PATH" sh "$0"; true'])
def test_who_asks_has_come_by_a_way_too(connection: str, how: str) -> None:
    assert "wlan9" in ways(BY_CABLE, connection, how)


def test_who_comes_by_the_cable_does_not_come_by_the_radio() -> None:
    assert {*ways(BY_CABLE, "192.0.2.7 4711 192.0.2.2 22")} == {"eth9"}
    assert {*ways(BY_CABLE, "203.0.113.7 4711 192.0.2.2 22")} == {"eth9"}
