"""Nodes behind routers are reached through the tunnel that they open, and reach nothing by it.

This machine's kernel knows no WireGuard, so its tools fall back to Debian's wireguard-go.
"""

import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from services.debian_server import why_no_server
from services.namespaced import why_no_namespaces
from services.provisioned import HUB
from services.tunnelled import (
    HUB_ADDRESS,
    IN_TUNNEL,
    NODES,
    OPERATOR,
    OPERATOR_ADDRESS,
    Internet,
)
from services.waiting import until

WHY_NOT = why_no_server() or why_no_namespaces()
if not WHY_NOT and not Path("/dev/net/tun").exists():
    WHY_NOT = "no /dev/net/tun: the kernel has no TUN"
pytestmark = [
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT),
    pytest.mark.long,
    pytest.mark.timeout(900),
]
FIRST, SECOND = NODES


@pytest.fixture(scope="module")
def internet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Internet]:
    """Hub, then nodes from their LANs, then the hub again, which knows their keys now."""
    with Internet(tmp_path_factory.mktemp("internet")) as internet:
        play(internet, "hub.yml", changed=True)
        for name, address in NODES.items():
            play(
                internet, "site.yml", "--limit", name, "-e", f"ansible_host={address}", changed=True
            )
        play(internet, "hub.yml", changed=True)
        for name in NODES:
            until(partial(pings, internet, HUB, IN_TUNNEL[name]), f"the tunnel of {name}")
        yield internet


def play(internet: Internet, playbook: str, *words: str, changed: bool) -> None:
    played = internet.station.play(playbook, "--tags", "tunnel", *words, within=internet.inside)
    assert played.status == 0, played.said[-6000:]
    assert any(played.changed.values()) is changed, played.said[-6000:]


def pings(internet: Internet, name: str, *words: str) -> bool:
    line = [*internet.systems[name].network, "busybox", "ping", "-c1", "-W2", *words]
    return subprocess.run(line, check=False, capture_output=True).returncode == 0


def connects(within: list[str], host: str, port: int) -> bool:
    line = [*within, "busybox", "nc", "-w", "2", host, str(port)]
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode == 0


def test_a_node_behind_a_router_is_reached_by_simpul(internet: Internet) -> None:
    station = internet.station
    within = internet.systems[HUB].network
    assert not connects(within, NODES[FIRST], 22), "there is no router between"
    key = (station.folder / "host.pub").read_text()
    station.authority.register.record_host_key(FIRST, key.strip(), "confirmed")
    # Nobody certified these machines' sshd: the key alone opens them.
    (station.folder / "bare").write_bytes(station.key.read_bytes())
    (station.folder / "bare").chmod(0o600)
    places = [f"--{name}={station.folder / file}" for name, file in PLACES.items()]
    words = ["logs", FIRST, "--unit=", "--user=root", *places]
    done = station.simpul(*words, within=within)
    assert done.returncode == 0, done.stderr
    assert (
        "Accepted publickey for root from 10.90.0.1" in station.simpul(*words, within=within).stdout
    )


PLACES = {
    "inventory": "inventory.ini",
    "register": "register.db",
    "audit": "audit.jsonl",
    "identity": "bare",
}


def test_a_second_run_changes_nothing_by_the_tunnel_itself(internet: Internet) -> None:
    """From the hub, which reaches the nodes by nothing else; and a check says the same."""
    within = internet.systems[HUB].network
    for words in ((), ("--check", "--diff")):
        for playbook in ("hub.yml", "site.yml"):
            played = internet.station.play(playbook, "--tags", "tunnel", *words, within=within)
            assert played.status == 0, played.said[-6000:]
            assert not any(played.changed.values()), played.said[-6000:]


def test_nodes_reach_neither_each_other_nor_the_hubs_ssh(internet: Internet) -> None:
    within = internet.systems[FIRST].network
    assert pings(internet, FIRST, IN_TUNNEL[HUB])
    assert connects(within, HUB_ADDRESS, 22), "its SSH would be reached, but for the filter"
    assert not connects(within, IN_TUNNEL[HUB], 22)
    assert not connects(within, IN_TUNNEL[SECOND], 22)
    assert not pings(internet, FIRST, IN_TUNNEL[SECOND])
    # Nor does a node speak as another: WireGuard takes from a peer its own address alone.
    system = internet.systems[FIRST]
    system.run("ip", "address", "add", "10.90.0.99/32", "dev", "simpul0")
    assert not pings(internet, FIRST, "-I", "10.90.0.99", IN_TUNNEL[HUB])
    system.run("ip", "address", "del", "10.90.0.99/32", "dev", "simpul0")


def test_the_key_is_made_on_the_node_and_stays_there(internet: Internet) -> None:
    private = {}
    for name, system in internet.systems.items():
        private[name] = system.run("cat", "/etc/wireguard/simpul0.key").stdout.strip()
        mode = system.run("stat", "-c", "%a %U", "/etc/wireguard/simpul0.key").stdout.strip()
        assert mode == "600 root"
        assert private[name] not in system.run("cat", "/etc/wireguard/simpul0.conf").stdout
    assert len({*private.values()}) == len(internet.systems)
    kept = [file for file in internet.station.folder.rglob("*") if file.is_file()]
    assert not [
        file for file in kept for key in private.values() if key.encode() in file.read_bytes()
    ]
    assert {file.stem for file in (internet.station.folder / "tunnel").iterdir()} == {*private}


def test_an_operator_reaches_the_nodes_ssh_and_nothing_else(internet: Internet) -> None:
    """Who is given a tunnel is let through at the hub's next play, and cuts nobody off by it."""
    system, folder = internet.systems[SECOND], "/run/operator"
    system.run("mkdir", "-p", folder)
    public = system.run("sh", "-c", f"umask 77; wg genkey | tee {folder}/key | wg pubkey").stdout
    (internet.station.folder / "tunnel" / f"{OPERATOR}.pub").write_text(public)
    before = handshake(internet)
    play(internet, "hub.yml", changed=True)
    assert handshake(internet) == before, "the tunnel of a node was torn down"
    # The operator's laptop: another tunnel, from another network of the same machine.
    hub = internet.systems[HUB].run("cat", "/etc/wireguard/simpul0.conf").stdout
    assert f"AllowedIPs = {OPERATOR_ADDRESS}/32" in hub
    router = ["-n", internet.between]
    private = folder_key(system.run("cat", f"{folder}/key").stdout, internet)
    run_on(internet, "wireguard-go", "operator0")
    hub_key = (internet.station.folder / f"tunnel/{HUB}.pub").read_text().strip()
    run_on(
        internet, "wg", "set", "operator0", "private-key", str(private), "peer", hub_key,
        "endpoint", f"{HUB_ADDRESS}:51820", "allowed-ips", "10.90.0.0/16",
    )  # fmt: skip
    for words in (
        ("address", "add", f"{OPERATOR_ADDRESS}/16", "dev", "operator0"),
        ("link", "set", "operator0", "up"),
    ):
        subprocess.run(["ip", *router, *words], check=True)
    until(lambda: connects(internet.inside, IN_TUNNEL[FIRST], 22), "the node's SSH")
    assert not connects(internet.inside, IN_TUNNEL[HUB], 22)
    assert not connects(internet.inside, IN_TUNNEL[FIRST], 80)
    run_on(internet, "ip", "link", "del", "operator0")


def handshake(internet: Internet) -> str:
    """Return when each node's tunnel was agreed upon last."""
    told = internet.systems[HUB].run("wg", "show", "simpul0", "latest-handshakes").stdout
    return "\n".join(sorted(line for line in told.splitlines() if not line.endswith("\t0")))


def folder_key(text: str, internet: Internet) -> Path:
    file = internet.station.folder.parent / "operator.key"
    file.write_text(text)
    file.chmod(0o600)
    return file


def run_on(internet: Internet, *command: str) -> None:
    subprocess.run([*internet.inside, *command], check=True, capture_output=True)


def test_it_comes_back_after_the_hub_was_away(internet: Internet) -> None:
    hub = internet.systems[HUB]
    unit = "wg-quick@simpul0.service"
    hub.run("systemctl", "stop", unit)
    assert not pings(internet, HUB, IN_TUNNEL[FIRST])
    hub.run("systemctl", "start", unit)
    # Within the keepalive and the time that WireGuard takes to notice (section 6 of its paper).
    until(lambda: pings(internet, HUB, IN_TUNNEL[FIRST]), "the tunnel again", seconds=180)
