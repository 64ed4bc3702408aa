"""Carries one connection of the guest to a broker; QEMU starts it for each (guestfwd ... cmd:)."""

import os
import selectors
import socket
import sys
from contextlib import suppress

_CHUNK_BYTES = 65536


def main() -> None:
    """Copy between standard input/output and the address given as HOST PORT."""
    with (
        socket.create_connection((sys.argv[1], int(sys.argv[2]))) as broker,
        selectors.DefaultSelector() as ready,
        suppress(ConnectionError),
    ):
        ready.register(sys.stdin.fileno(), selectors.EVENT_READ)
        ready.register(broker, selectors.EVENT_READ)
        while _pass_on(ready, broker):
            pass


def _pass_on(ready: selectors.BaseSelector, broker: socket.socket) -> bool:
    for key, _ in ready.select():
        if key.fileobj is broker:
            data = broker.recv(_CHUNK_BYTES)
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        else:
            data = os.read(sys.stdin.fileno(), _CHUNK_BYTES)
            broker.sendall(data)
        if not data:
            return False
    return True


if __name__ == "__main__":
    main()
