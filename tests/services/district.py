"""Runs a hub and any number of nodes on one LAN: each a stock Debian under its own systemd."""

from pathlib import Path
from typing import Self

from services.cabled import Cabled
from services.debian_server import server_root
from services.namespaced import NamespacedSystem
from services.provisioned import HUB, Station

HUB_ADDRESS = "192.168.7.10"
_STATION_ADDRESS = "192.168.7.1"
_FIRST_HOST = 20
_INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
_INOTIFY_EACH = 32


def _inventory(addresses: dict[str, str]) -> str:
    """Return it; a hundred cameras with the usual five pictures a second keep a core busy."""
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
agent_camera_frames_per_second=1
agent_camera_width=320
agent_camera_height=192
[all:vars]
connection_timeout_seconds=30
"""


class District(Cabled):
    """The machines and their LAN: the station is `inside`."""

    def __init__(self, folder: Path, count: int) -> None:
        """Everything is below `folder`; the nodes are named n0, n1 ..."""
        self.nodes = {f"n{at}": f"192.168.7.{_FIRST_HOST + at}" for at in range(count)}
        self.station = Station(folder / "station")
        self._inotify_before = ""
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
        super().__init__(
            {
                name: NamespacedSystem(
                    server_root(),
                    folder / name,
                    prepare=self.station.prepare,
                    disk=folder / name / "disk",
                )
                for name in addresses
            }
        )
        self._addresses = addresses

    def __enter__(self) -> Self:
        # Each systemd takes a few, and all of them are one user here: inotify(7).
        self._inotify_before = _INOTIFY.read_text()
        wanted = max(int(self._inotify_before), _INOTIFY_EACH * len(self.systems))
        _INOTIFY.write_text(str(wanted))
        return super().__enter__()

    def close(self) -> None:
        """Kill the systems."""
        super().close()
        _INOTIFY.write_text(self._inotify_before)

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

    def lay(self) -> None:
        """Plug everybody, and the station, into one switch."""
        self.link("add", "lan", "type", "bridge")
        self.address(_STATION_ADDRESS, "lan")
        for name in ("lan", "lo"):
            self.link("set", name, "up")
        for at, (name, address) in enumerate(self._addresses.items()):
            self.plug(name, f"port{at}", address, gateway=_STATION_ADDRESS)
            self.link("set", f"port{at}", "master", "lan")
