"""Finds free ports on loopback, so that services of several tests stand side by side."""

import socket
import threading


def free_port() -> int:
    """Return a TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int, host: str = "127.0.0.1", *, attempts: int = 100) -> None:
    """Return once somebody accepts on `port`. Raises TimeoutError after about 10 s of refusals."""
    for _ in range(attempts):
        with socket.socket() as probe:
            probe.settimeout(2)
            if probe.connect_ex((host, port)) == 0:
                return
        threading.Event().wait(0.1)
    raise TimeoutError(f"nobody listens on port {port}")
