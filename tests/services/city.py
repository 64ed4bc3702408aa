"""What lies behind a node's uplink, in a network namespace: a router, the city's LAN, the internet.

The addresses of the internet side are those kept for tests of equipment (RFC 2544).
"""

import subprocess
from pathlib import Path

from services.phone import run

NAMESPACE = "city"
UPLINK = "uplink0"
NODE = "192.168.7.2"
ROUTER = "192.168.7.1"
CITY_SERVER = "192.168.7.10"
INTERNET = "198.18.0.10"
DNS = "198.18.0.53"
NAME = "kota.example"
INSIDE = ["ip", "netns", "exec", NAMESPACE]


class City:
    """Lays the node's uplink into the namespace and serves there until `close`."""

    def __init__(self, folder: Path) -> None:
        run("ip", "netns", "add", NAMESPACE)
        run("ip", "link", "add", UPLINK, "type", "veth", "peer", "lan0", "netns", NAMESPACE)
        run("ip", "address", "add", f"{NODE}/24", "dev", UPLINK)
        run("ip", "link", "set", UPLINK, "up")
        for address in (f"{ROUTER}/24", f"{CITY_SERVER}/24", f"{INTERNET}/32", f"{DNS}/32"):
            run(*INSIDE, "ip", "address", "add", address, "dev", "lan0")
        for interface in ("lo", "lan0"):
            run(*INSIDE, "ip", "link", "set", interface, "up")
        run("ip", "route", "add", "default", "via", ROUTER)
        self._services = [self._web(folder, address) for address in (INTERNET, CITY_SERVER)]
        self._services.append(self._names())

    def _web(self, folder: Path, address: str) -> subprocess.Popen[bytes]:
        www = folder / address
        www.mkdir()
        (www / "index.html").write_text(f"this is {address}")
        web = ["busybox", "httpd", "-f", "-p", f"{address}:80", "-h", str(www)]
        return subprocess.Popen([*INSIDE, *web])

    def _names(self) -> subprocess.Popen[bytes]:
        words = [f"--listen-address={DNS}", "--bind-interfaces", f"--address=/{NAME}/{INTERNET}"]
        bare = ["--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--pid-file"]
        return subprocess.Popen([*INSIDE, "dnsmasq", "--keep-in-foreground", *words, *bare])

    def connects(self, host: str, port: int) -> bool:
        """Tell whether a TCP connection from the city to `host` comes about."""
        command = [*INSIDE, "busybox", "nc", "-w", "5", host, str(port)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        return done.returncode == 0

    def close(self) -> None:
        """Stop the services."""
        for service in self._services:
            service.terminate()
            service.wait(10)
