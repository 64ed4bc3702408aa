"""What would be done to a machine that has nothing yet is told, and nothing of it is done."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from services.debian_server import server_root, why_no_server
from services.namespaced import NamespacedSystem, why_no_namespaces
from services.provisioned import HUB, NODE, Station

WHY_NOT = why_no_server() or why_no_namespaces()
pytestmark = [
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT),
    pytest.mark.long,
    pytest.mark.timeout(900),
]
BROUGHT = (
    *("mosquitto", "mosquitto-clients", "nginx-light", "postgresql", "curl"),
    *("dnsmasq-base", "hostapd", "iw", "nftables", "systemd-timesyncd", "wireguard-tools"),
)
# An archive on its own disk knows the packages, as that of a stock system does; a check takes none.
BARE = """
export DEBIAN_FRONTEND=noninteractive
apt-get purge -y -qq --auto-remove 'mosquitto*' 'nginx*' 'postgresql*' \
    curl dnsmasq-base hostapd iw nftables systemd-timesyncd wireguard-go wireguard-tools
mkdir /archive
for package in {packages}; do
    printf 'Package: %s\\nVersion: 1\\nArchitecture: all\\nFilename: ./%s.deb\\nSize: 1\\n\\n' \
        "$package" "$package"
done > /archive/Packages
rm -f /etc/apt/sources.list.d/*
echo 'deb [trusted=yes] file:/archive ./' > /etc/apt/sources.list
apt-get update
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Station, NamespacedSystem]]:
    folder = tmp_path_factory.mktemp("bare")
    station = Station(folder / "station")
    station.release(1)
    with NamespacedSystem(server_root(), folder / "system", prepare=station.prepare) as system:
        system.run("sh", "-ec", BARE.format(packages=" ".join(BROUGHT)))
        yield station, system


@pytest.mark.parametrize(
    ("playbook", "host", "words"),
    [
        ("site.yml", NODE, ()),
        ("site.yml", NODE, ("-e", "agent_hotspot_ssid=Kota")),
        ("hub.yml", HUB, ()),
    ],
)
def test_a_check_of_a_bare_machine(
    bare: tuple[Station, NamespacedSystem], playbook: str, host: str, words: tuple[str, ...]
) -> None:
    station, system = bare
    system.run("touch", "/run/before")
    played = station.play(playbook, "--check", *words, within=system.network)
    assert played.status == 0, played.said[-6000:]
    # One task may bring many files: each is told by itself.
    told = set(re.findall(r"^\+\+\+ after: (/\S+)", played.said, re.MULTILINE))
    assert played.changed[host] + len(told) > 30
    for path in ("/opt/simpul", "/etc/simpul", "/etc/mosquitto", "/etc/nginx", "/etc/postgresql"):
        assert system.run("test", "-e", path, check=False).returncode != 0, path
    changed = system.run("find", "/etc", "/usr", "-xdev", "-newer", "/run/before").stdout
    assert changed == ""


def test_the_programs_are_brought_by_the_roles() -> None:
    """Else the test above would prove less than it says."""
    roles = Path(__file__).parents[2] / "playbooks/roles"
    text = "".join(file.read_text() for file in roles.glob("*/tasks/*.yml"))
    assert all(package in text for package in BROUGHT if package != "curl")
