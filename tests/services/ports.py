"""Finds free ports on loopback, so that services of several tests stand side by side."""

import errno
import secrets
import socket
import threading
from contextlib import ExitStack

_PORTS = range(12_000, 32_000)
"""Below those that Linux gives to who calls (ip(7), ip_local_port_range): one who calls again and
again until a service is up may be given the port that it calls, and keep the service from it."""


def free_port() -> int:
    """Return a TCP port that nobody listens on now."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Return `count` TCP ports, no two the same, that nobody listens on now."""
    ports: list[int] = []
    with ExitStack() as probes:
        while len(ports) < count:
            port = secrets.choice(_PORTS)
            try:
                probes.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
            ports.append(port)
    return ports


def wait_for_port(port: int, host: str = "127.0.0.1", *, attempts: int = 100) -> None:
    """Return once somebody accepts on `port`. Raises TimeoutError after about 10 s of refusals."""
    for _ in range(attempts):
        with socket.socket() as probe:
            probe.settimeout(2)
            if probe.connect_ex((host, port)) == 0:
                return
        threading.Event().wait(0.1)
    raise TimeoutError(f"nobody listens on port {port}")
