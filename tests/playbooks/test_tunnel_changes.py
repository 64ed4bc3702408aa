"""A node's tunnel follows its inventory: another address, another network, none any more.

One node, and a hub of which there is the public key only: nothing needs to answer.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from services.debian_server import server_root, why_no_server
from services.namespaced import NamespacedSystem, why_no_namespaces
from services.provisioned import HUB, NODE, Played, Station
from services.tunnelled import TUN

WHY_NOT = why_no_server() or why_no_namespaces()
if not WHY_NOT and not Path("/dev/net/tun").exists():
    WHY_NOT = "no /dev/net/tun: the kernel has no TUN"
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT),
    pytest.mark.timeout(900),
]
UNIT = "wg-quick@simpul0.service"


@dataclass(frozen=True, slots=True)
class Node:
    """A node, and the station that plays it."""

    station: Station
    system: NamespacedSystem

    def play(self, address: str, *words: str) -> Played:
        """Play the role, for this address in the tunnel."""
        named = json.dumps({"tunnel_address": address, "ansible_host": "127.0.0.1"})
        return self.station.play(
            *("site.yml", "--tags", "tunnel", "-e", named, *words), within=self.system.network
        )

    def told(self, *words: str) -> list[dict[str, object]]:
        """Return what ip(8) says."""
        found: list[dict[str, object]] = json.loads(self.system.run("ip", "-json", *words).stdout)
        return found

    def addresses(self) -> list[str]:
        """Return the addresses of the tunnel."""
        (link,) = self.told("address", "show", "dev", "simpul0")
        return [f"{each['local']}/{each['prefixlen']}" for each in link["addr_info"]]  # type: ignore[attr-defined]

    def routes(self, family: str = "-4") -> list[object]:
        """Return where the tunnel leads."""
        return [each["dst"] for each in self.told(family, "route", "show", "dev", "simpul0")]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("tunnel")
    station = Station(folder / "station")
    (station.folder / "tunnel").mkdir()
    public = X25519PrivateKey.generate().public_key().public_bytes_raw()
    (station.folder / f"tunnel/{HUB}.pub").write_text(base64.b64encode(public).decode() + "\n")
    prepare = station.prepare + TUN
    with NamespacedSystem(server_root(), folder / "system", prepare=prepare) as system:
        node = Node(station, system)
        played = node.play("10.90.0.7")
        assert played.status == 0, played.said[-6000:]
        yield node


def test_another_address_is_applied(node: Node) -> None:
    assert node.addresses() == ["10.90.0.7/32"]
    for address in ("10.90.0.8", "10.90.0.7"):
        played = node.play(address)
        assert (played.status, played.changed[NODE] > 0) == (0, True), played.said[-6000:]
        assert (node.addresses(), node.routes()) == ([f"{address}/32"], ["10.90.0.0/16"])
        again = node.play(address)
        assert (again.status, again.changed) == (0, {NODE: 0}), again.said[-6000:]


def test_another_network_is_applied(node: Node) -> None:
    for network, address, family in (
        ("10.91.0.0/24", "10.91.0.7", "-4"),
        ("fd00:90::/64", "fd00:90::0007", "-6"),
        ("10.90.0.0/16", "10.90.0.7", "-4"),
    ):
        played = node.play(address, "-e", f"tunnel_network={network}")
        assert (played.status, played.changed[NODE] > 0) == (0, True), played.said[-6000:]
        assert len(node.addresses()) == 1
        assert network in node.routes(family)
        others = [*node.routes("-4"), *node.routes("-6")]
        assert not {*others} & ({"10.90.0.0/16", "10.91.0.0/24", "fd00:90::/64"} - {network})


def test_what_a_play_left_pending_is_taken_up(node: Node) -> None:
    node.system.run("ip", "address", "add", "10.90.0.99/32", "dev", "simpul0")
    node.system.run("touch", "/var/lib/misc/simpul-pending-tunnel")
    played = node.play("10.90.0.7")
    assert (played.status, played.changed[NODE] > 0) == (0, True), played.said[-6000:]
    assert node.addresses() == ["10.90.0.7/32"]
    again = node.play("10.90.0.7")
    assert (again.status, again.changed) == (0, {NODE: 0}), again.said[-6000:]


def test_a_hub_that_has_moved_is_found_by_its_name(node: Node) -> None:
    """By a node whose tunnel is dead: nothing answers here."""
    run, again = node.system.run, "simpul-tunnel-endpoint"
    named = ("-e", "tunnel_endpoint=pusat.example")

    def moves(address: str) -> None:
        entry = f"sed -i /pusat.example/d /etc/hosts; echo {address} pusat.example >> /etc/hosts"
        run("sh", "-ec", entry)

    moves("198.18.0.10")
    played = node.play("10.90.0.7", *named)
    assert played.status == 0, played.said[-6000:]
    assert run("systemctl", "is-active", f"{again}.timer").stdout == "active\n"
    endpoints = ("wg", "show", "simpul0", "endpoints")
    assert run(*endpoints).stdout.endswith("\t198.18.0.10:51820\n")
    moves("198.18.0.11")
    run("systemctl", "start", f"{again}.service")
    assert run(*endpoints).stdout.endswith("\t198.18.0.11:51820\n")
    for verb in ("stop", "start"):
        run("systemctl", verb, UNIT)
        state = run("systemctl", "is-active", f"{again}.timer", check=False).stdout
        assert state == {"stop": "inactive\n", "start": "active\n"}[verb]
    played = node.play("10.90.0.7")
    assert played.status == 0, played.said[-6000:]


def test_its_filter_outlives_whatever_nftables_service_does(node: Node) -> None:
    run = node.system.run
    for verbs in (("start",), ("reload",), ("restart",), ("stop",), ("start",), ("mask", "--now")):
        run("systemctl", *verbs, "nftables.service")
        assert "simpul-tunnel" in run("nft", "list", "tables").stdout, verbs
    run("systemctl", "unmask", "nftables.service")


def test_without_an_address_it_is_taken_away(node: Node) -> None:
    played = node.play("")
    assert (played.status, played.changed[NODE] > 0) == (0, True), played.said[-6000:]
    run = node.system.run
    assert run("ip", "link", "show", "simpul0", check=False).returncode != 0
    assert run("sh", "-c", "ls /etc/systemd/system/simpul-tunnel*", check=False).stdout == ""
    for command in (("is-active", UNIT), ("is-enabled", UNIT)):
        assert run("systemctl", *command, check=False).returncode != 0
    assert "simpul-tunnel" not in run("nft", "list", "tables").stdout
    assert (
        run(
            "find", "/etc/wireguard", f"/etc/systemd/system/{UNIT}.d", "-type", "f", check=False
        ).stdout
        == ""
    )
    assert not (node.station.folder / f"tunnel/{NODE}.pub").exists()
    assert (node.station.folder / f"tunnel/{HUB}.pub").exists()
    again = node.play("")
    assert (again.status, again.changed) == (0, {NODE: 0}), again.said[-6000:]
    played = node.play("10.90.0.7")
    assert (played.status, node.addresses()) == (0, ["10.90.0.7/32"]), played.said[-6000:]
