"""Lays a hub and two nodes out on an internet: each node in a LAN of its own, behind a router.

The router lets nothing in that was not asked for (NAT). The addresses of the internet side are
those kept for tests of equipment (RFC 2544).
"""

import subprocess
from pathlib import Path

from services.cabled import Cabled, call
from services.debian_server import server_root
from services.namespaced import NamespacedSystem
from services.provisioned import HUB, Station

HUB_ADDRESS = "198.18.0.10"
NODES = {"taman-bunga": "192.168.7.2", "pasar-horas": "192.168.8.2"}
IN_TUNNEL = {HUB: "10.90.0.1", "taman-bunga": "10.90.0.2", "pasar-horas": "10.90.0.3"}
OPERATOR = "ayu"
OPERATOR_ADDRESS = "10.90.255.1"
_NAT = """
table ip nat {
    chain out { type nat hook postrouting priority srcnat; oifname "wan" masquerade; }
    chain through {
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        iifname "lan*" oifname "wan" accept
    }
}
"""
_INVENTORY = f"""\
[hub]
{HUB} ansible_host={HUB_ADDRESS} tunnel_address={IN_TUNNEL[HUB]}
[taman_bunga]
taman-bunga tunnel_address={IN_TUNNEL["taman-bunga"]}
[pasar_horas]
pasar-horas tunnel_address={IN_TUNNEL["pasar-horas"]}
[nodes:children]
taman_bunga
pasar_horas
[all:vars]
connection_timeout_seconds=30
"""
# All machines show the one host key of the station.
_SSH = """\
ansible_ssh_common_args: >-
  -o HostKeyAlias=taman-bunga -o UserKnownHostsFile="{{ inventory_dir }}/known"
"""
TUN = """
mkdir dev/net
: > dev/net/tun
mount --bind /dev/net/tun dev/net/tun
"""


class Internet(Cabled):
    """The machines and the router between them: `inside` it, the LANs are reached."""

    def __init__(self, folder: Path) -> None:
        """Everything is below `folder`."""
        self.station = Station(folder / "station")
        (self.station.folder / "inventory.ini").write_text(_INVENTORY)
        for name in (HUB, *NODES):
            text = _SSH
            if name == HUB:
                text += (
                    f"mosquitto_names: [{HUB_ADDRESS}]\n"
                    f"tunnel_operators: {{{OPERATOR}: {OPERATOR_ADDRESS}}}\n"
                )
            (self.station.folder / "host_vars" / f"{name}.yml").write_text(text)
        prepare = self.station.prepare + TUN
        super().__init__(
            {
                name: NamespacedSystem(server_root(), folder / name, prepare=prepare)
                for name in (HUB, *NODES)
            }
        )

    def lay(self) -> None:
        """Give each LAN a port of the router, and the hub its own on the internet."""
        call(*self.inside, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        places = {HUB: ("wan", HUB_ADDRESS)}
        places |= {name: (f"lan{at}", address) for at, (name, address) in enumerate(NODES.items())}
        for name, (port, address) in places.items():
            gateway = address.rpartition(".")[0] + ".1"
            # The hub knows no way into the LANs.
            self.plug(name, port, address, gateway="" if name == HUB else gateway)
            self.address(gateway, port)
        subprocess.run([*self.inside, "nft", "-f", "-"], input=_NAT, text=True, check=True)
