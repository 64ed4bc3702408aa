"""Runs a hub and any number of nodes on one LAN: each a stock Debian under its own systemd."""

import secrets
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from services.debian_server import server_root
from services.namespaced import NamespacedSystem
from services.provisioned import HUB, Station

HUB_ADDRESS = "192.168.7.10"
_STATION_ADDRESS = "192.168.7.1"
_FIRST_HOST = 20
_STARTING = 4


def _inventory(addresses: dict[str, str]) -> str:
    sites = "\n".join(f"[site_{name}]\n{name} ansible_host={at}" for name, at in addresses.items())
    children = "\n".join(f"site_{name}" for name in addresses)
    return f"""\
[hub]
{HUB} ansible_host={HUB_ADDRESS}
{sites}
[nodes:children]
{children}
[nodes:vars]
agent_camera_adapter=rendered
agent_camera_width=320
agent_camera_height=192
[all:vars]
connection_timeout_seconds=30
"""


class District:
    """The station, its machines and their LAN, within the `with` block."""

    def __init__(self, folder: Path, count: int) -> None:
        """Everything is below `folder`; the nodes are named n0, n1 ..."""
        self.nodes = {f"n{at}": f"192.168.7.{_FIRST_HOST + at}" for at in range(count)}
        self.station = Station(folder / "station")
        self._lan = f"simpul-{secrets.token_hex(3)}"
        addresses = {HUB: HUB_ADDRESS, **self.nodes}
        room = self.station.folder
        (room / "inventory.ini").write_text(_inventory(self.nodes))
        # Until a node has its certificate, all machines show the station's one host key.
        key = " ".join((room / "host.pub").read_text().split()[:2])
        (room / "known").write_text("".join(f"{name} {key}\n" for name in addresses))
        for name in addresses:
            (room / "host_vars" / f"{name}.yml").write_text(self._variables(name))
        for name in self.nodes:
            (room / "masks" / f"{name}.toml").write_text("nothing_to_mask = true\n")
        self.systems = {
            name: NamespacedSystem(server_root(), folder / name, prepare=self.station.prepare)
            for name in addresses
        }
        self._addresses = addresses

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def inside(self) -> list[str]:
        """What stands before a command of the station, which is on the LAN."""
        return ["ip", "netns", "exec", self._lan]

    def close(self) -> None:
        """Take everything down."""
        for system in self.systems.values():
            system.close()
        subprocess.run(["ip", "netns", "del", self._lan], check=False, capture_output=True)

    def _variables(self, name: str) -> str:
        here = "{{ inventory_dir }}"
        text = (
            f"ansible_ssh_common_args: >-\n  -o HostKeyAlias={name}"
            f' -o UserKnownHostsFile="{here}/published/ssh-known-hosts {here}/known"\n'
        )
        if name == HUB:
            text += (
                f"mosquitto_names: [{HUB_ADDRESS}]\n"
                f'mosquitto_passphrase_file: "{here}/passphrase"\n'
            )
        else:
            text += f'enrol_passphrase_file: "{here}/passphrase"\n'
        return text

    def _open(self) -> None:
        _call("ip", "netns", "add", self._lan)
        link = ("ip", "-n", self._lan, "link")
        _call(*link, "add", "lan", "type", "bridge")
        _call("ip", "-n", self._lan, "address", "add", f"{_STATION_ADDRESS}/24", "dev", "lan")
        for name in ("lan", "lo"):
            _call(*link, "set", name, "up")
        with ThreadPoolExecutor(max_workers=_STARTING) as pool:
            list(pool.map(NamespacedSystem.__enter__, self.systems.values()))
        for at, (name, address) in enumerate(self._addresses.items()):
            system, port = self.systems[name], f"port{at}"
            _call(
                *link, "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(system.pid)
            )
            _call(*link, "set", port, "master", "lan", "up")
            _call(*system.network, "ip", "address", "add", f"{address}/24", "dev", "eth0")
            _call(*system.network, "ip", "link", "set", "eth0", "up")
            _call(*system.network, "ip", "route", "add", "default", "via", _STATION_ADDRESS)


def _call(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
