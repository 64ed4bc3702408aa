"""Serves a folder over HTTP with ranges (busybox httpd), and a link to it that breaks."""

import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from services.ports import free_port, wait_for_port


@contextmanager
def serving(folder: Path, within: Sequence[str] = ()) -> Iterator[int]:
    """Serve `folder`; yield the port. `within` stands before the command (a network)."""
    port = free_port()
    command = [*within, "busybox", "httpd", "-f", "-p", f"127.0.0.1:{port}", "-h", str(folder)]
    server = subprocess.Popen(command)
    try:
        if not within:
            wait_for_port(port)
        yield port
    finally:
        server.terminate()
        server.wait()


class BreakingLink:
    """Forwards to a port and cuts each connection after so many bytes of the answer."""

    def __init__(self, to_port: int, limits: list[int]) -> None:
        """`limits`: bytes let through by each connection in turn; later ones are unlimited."""
        self._to_port = to_port
        self._limits = limits
        self.passed_bytes = 0
        self.requests: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        """Stop; no connection is under way any more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            left = self._limits.pop(0) if self._limits else 2**40
            with near, socket.create_connection(("127.0.0.1", self._to_port)) as far:
                self.requests.append(near.recv(65536))
                far.sendall(self.requests[-1])
                while left and (data := far.recv(min(left, 65536))):
                    near.sendall(data)
                    left -= len(data)
                    self.passed_bytes += len(data)
