"""Joins systems in namespaces by cables that end in one network: a router's, or a switch's."""

import secrets
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from services.namespaced import NamespacedSystem

_STARTING = 4


class Cabled:
    """The systems and the network between them, within the `with` block."""

    def __init__(self, systems: Mapping[str, NamespacedSystem]) -> None:
        """Nothing is started."""
        self.systems = systems
        self.between = f"simpul-{secrets.token_hex(3)}"
        """The name of the network namespace in which all cables end."""

    def __enter__(self) -> Self:
        try:
            call("ip", "netns", "add", self.between)
            with ThreadPoolExecutor(max_workers=_STARTING) as pool:
                list(pool.map(NamespacedSystem.__enter__, self.systems.values()))
            self.lay()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def inside(self) -> list[str]:
        """What stands before a command that is to run where the cables end."""
        return ["ip", "netns", "exec", self.between]

    def lay(self) -> None:
        """Lay the cables; all systems run."""
        raise NotImplementedError

    def plug(
        self, name: str, port: str, address: str, *, gateway: str = "", bits: int = 24
    ) -> None:
        """Give a system the address on a cable from its `eth0` to `port`, which is up.

        `bits` of the address are the network's.
        """
        system = self.systems[name]
        self.link("add", port, "type", "veth", "peer", "name", "eth0", "netns", str(system.pid))
        self.link("set", port, "up")
        call(*system.network, "ip", "address", "add", f"{address}/{bits}", "dev", "eth0")
        call(*system.network, "ip", "link", "set", "eth0", "up")
        if gateway:
            call(*system.network, "ip", "route", "add", "default", "via", gateway)

    def link(self, *words: str) -> None:
        """Call `ip link` where the cables end."""
        call("ip", "-n", self.between, "link", *words)

    def address(self, address: str, port: str, *, bits: int = 24) -> None:
        """Give the network between an address of its own; `bits` of it are the network's."""
        call("ip", "-n", self.between, "address", "add", f"{address}/{bits}", "dev", port)

    def close(self) -> None:
        """Take everything down."""
        for system in self.systems.values():
            system.close()
        subprocess.run(["ip", "netns", "del", self.between], check=False, capture_output=True)


def call(*command: str) -> None:
    """Run a command. Raises CalledProcessError."""
    subprocess.run(command, check=True, capture_output=True)
