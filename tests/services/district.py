"""Runs a hub and any number of nodes on one LAN: each a stock Debian under its own systemd."""

from ipaddress import IPv4Address
from pathlib import Path
from typing import Self

from services import light_nodes
from services.cabled import Cabled
from services.debian_server import node_root, server_root
from services.namespaced import NamespacedSystem
from services.provisioned import HUB, Station

_HUB_ADDRESS = "10.77.0.10"
_STATION_ADDRESS = "10.77.0.1"
_FIRST_NODE = IPv4Address("10.77.1.1")
_NETWORK_BITS = 16
# What all systems share as one user's or one kernel's, and how much of it each needs: inotify(7),
# keyrings(7) (a service has one of its own), arp(7).
_SHARED = {
    Path("/proc/sys/fs/inotify/max_user_instances"): 32,
    Path("/proc/sys/kernel/keys/maxkeys"): 8,
    Path("/proc/sys/kernel/keys/maxbytes"): 1024,
    Path("/proc/sys/net/ipv4/neigh/default/gc_thresh2"): 8,
    Path("/proc/sys/net/ipv4/neigh/default/gc_thresh3"): 16,
}


def _inventory(addresses: dict[str, str]) -> str:
    """Return it; a hundred cameras with the usual five pictures a second keep a core busy."""
    sites = "\n".join(f"[site_{name}]\n{name} ansible_host={at}" for name, at in addresses.items())
    children = "\n".join(f"site_{name}" for name in addresses)
    return f"""\
[hub]
{HUB} ansible_host={_HUB_ADDRESS}
{sites}
[nodes:children]
{children}
[nodes:vars]
agent_camera_adapter=rendered
agent_camera_frames_per_second=1
agent_camera_width=320
agent_camera_height=192
[all:vars]
connection_timeout_seconds=30
"""


class District(Cabled):
    """The machines and their LAN: the station is `inside`."""

    def __init__(self, folder: Path, count: int, *, light: bool = False) -> None:
        """Everything is below `folder`; the nodes are named n0, n1 ...

        Of `light` ones (see light_nodes) hundreds fit on a machine.
        """
        self.nodes = {f"n{at}": str(_FIRST_NODE + at) for at in range(count)}
        self.station = Station(folder / "station")
        self._light = light
        self._shared = folder / "shared"
        self._shared.mkdir()
        self._before: dict[Path, str] = {}
        addresses = {HUB: _HUB_ADDRESS, **self.nodes}
        room = self.station.folder
        (room / "inventory.ini").write_text(_inventory(self.nodes))
        # Until a node has its certificate, all machines show the station's one host key.
        key = " ".join((room / "host.pub").read_text().split()[:2])
        (room / "known").write_text("".join(f"{name} {key}\n" for name in addresses))
        for name in addresses:
            (room / "host_vars" / f"{name}.yml").write_text(self._variables(name))
        for name in self.nodes:
            (room / "masks" / f"{name}.toml").write_text("nothing_to_mask = true\n")
        super().__init__({name: self._system(name, folder / name) for name in addresses})
        self._addresses = addresses

    def __enter__(self) -> Self:
        for file, each in _SHARED.items():
            if not file.exists():
                continue  # a network namespace other than the first has no arp(7) limits
            self._before[file] = file.read_text()
            file.write_text(str(max(int(self._before[file]), each * len(self.systems))))
        return super().__enter__()

    def close(self) -> None:
        """Kill the systems."""
        super().close()
        for file, text in self._before.items():
            file.write_text(text)

    def release(self, counter: int) -> Path:
        """Build and sign a release, the first (1) for the hub too; return the nodes'."""
        if self._light and counter > 1:
            return light_nodes.light_release(self.station, counter)
        self.station.release(counter)
        if self._light:
            light_nodes.fill(self._shared, self.station, self.systems["n0"])
            return light_nodes.light_release(self.station, counter)
        (bundle,) = self.station.folder.glob(f"releases/simpul-0*-{counter}-*.bundle")
        return bundle

    def _system(self, name: str, folder: Path) -> NamespacedSystem:
        prepare, root = self.station.prepare, server_root()
        if self._light and name != HUB:
            prepare, root = prepare + light_nodes.prepare(self._shared), node_root()
        return NamespacedSystem(root, folder, prepare=prepare, disk=folder / "disk")

    def _variables(self, name: str) -> str:
        here = "{{ inventory_dir }}"
        text = (
            f"ansible_ssh_common_args: >-\n  -o HostKeyAlias={name}"
            f' -o UserKnownHostsFile="{here}/published/ssh-known-hosts {here}/known"\n'
        )
        if name == HUB:
            text += (
                f"mosquitto_names: [{_HUB_ADDRESS}]\n"
                f'mosquitto_passphrase_file: "{here}/passphrase"\n'
            )
        else:
            text += f'enrol_passphrase_file: "{here}/passphrase"\n'
        return text

    def lay(self) -> None:
        """Plug everybody, and the station, into one switch."""
        self.link("add", "lan", "type", "bridge")
        self.address(_STATION_ADDRESS, "lan", bits=_NETWORK_BITS)
        for name in ("lan", "lo"):
            self.link("set", name, "up")
        for at, (name, address) in enumerate(self._addresses.items()):
            self.plug(name, f"port{at}", address, gateway=_STATION_ADDRESS, bits=_NETWORK_BITS)
            self.link("set", f"port{at}", "master", "lan")
