"""Is a slow link to a service on this machine: what it answers comes at so many bytes a second."""

import socket
import threading
from contextlib import suppress
from typing import Self

_PIECE_BYTES = 16_384


class SlowLink:
    """Within the `with` block, what connects to `port` reaches the service, and is answered slowly.

    `carried_bytes` counts what the service has answered.
    """

    def __init__(self, to_port: int, *, bytes_per_s: int) -> None:
        self._to_port, self._bytes_per_s = to_port, bytes_per_s
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self._stop = threading.Event()
        self.port = self._listener.getsockname()[1]
        self.carried_bytes = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for end in (self._listener, *self._ends):
            with suppress(OSError):  # it has ended already
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener is shut at the end
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to_port))
                self._ends += [near, far]
                for args in ((near, far, False), (far, near, True)):
                    threading.Thread(target=self._carry, args=args, daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, slow: bool) -> None:  # noqa: FBT001 - a direction
        with suppress(OSError):  # one of the two has ended
            while piece := source.recv(_PIECE_BYTES):
                if slow:
                    self._stop.wait(len(piece) / self._bytes_per_s)
                    self.carried_bytes += len(piece)
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)
