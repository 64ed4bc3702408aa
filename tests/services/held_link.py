"""A slow link between a client and a broker: what the broker sends is held until it is let go."""

import socket
import threading
from contextlib import suppress
from typing import Self

from services.ports import free_port

_UNSUBSCRIBE, _DISCONNECT = 10, 14  # MQTT 3.1.1, 2.2.1


class HeldLink:
    """Passes the first `passed_bytes` of the broker, then nothing before `let_go` is set."""

    def __init__(self, broker_port: int, *, passed_bytes: int) -> None:
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self.let_go = threading.Event()
        self.asked_further = threading.Event()
        """Set when the client asks for more after its subscription, or leaves."""
        self._broker_port = broker_port
        self._passed_bytes = passed_bytes
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._server = socket.create_server(("127.0.0.1", self.port))
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go.set()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        with suppress(OSError):
            client, _ = self._server.accept()
            broker = socket.create_connection(("127.0.0.1", self._broker_port))
            self._start(self._up, client, broker)
            self._start(self._down, broker, client)

    def _up(self, client: socket.socket, broker: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65_536):
                if data[0] >> 4 in {_UNSUBSCRIBE, _DISCONNECT}:
                    self.asked_further.set()
                broker.sendall(data)
        self.asked_further.set()
        broker.close()

    def _down(self, broker: socket.socket, client: socket.socket) -> None:
        left = self._passed_bytes
        with suppress(OSError):
            while data := broker.recv(left or 65_536):
                if not left:
                    self.let_go.wait()
                client.sendall(data)
                left = max(0, left - len(data))
        client.close()

    def _start(self, work: object, *given: object) -> None:
        thread = threading.Thread(target=work, args=given)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()
