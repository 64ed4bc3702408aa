"""Serves HTTP as no honest server does: every connection is answered by a test's own function."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

Answer = Callable[[Callable[[bytes], None], bytes], None]


@dataclass(slots=True)
class Scripted:
    """A server that is running, and what it was asked."""

    port: int
    requests: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The address of a bundle there."""
        return f"http://127.0.0.1:{self.port}/a.bundle"


@contextmanager
def answering(answer: Answer) -> Iterator[Scripted]:
    """Serve; `answer` is given what sends bytes, and the request's head; then it is hung up."""
    listener = socket.create_server(("127.0.0.1", 0))
    served = Scripted(listener.getsockname()[1])

    def serve(near: socket.socket) -> None:
        with near, suppress(OSError):  # the client may leave whenever it likes
            served.requests.append(near.recv(65536))
            answer(near.sendall, served.requests[-1])

    def accept() -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                threading.Thread(target=serve, args=(near,), daemon=True).start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield served
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()


def head(status: str, **headers: object) -> bytes:
    """Return the head of an answer; `Content_Length` stands for Content-Length."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


def asked_from(request: bytes) -> int | None:
    """Return the first byte that a request asks for; None when it asks for all."""
    found = re.search(rb"\r\nRange: bytes=([0-9]+)-", request)
    return int(found[1]) if found else None


def ranges_of(
    content: bytes, send: Callable[[bytes], None], request: bytes, **headers: object
) -> Callable[[int | None], None]:
    """Send the head for what is asked of `content`; return what sends it, up to an offset."""
    start = asked_from(request)
    length = len(content) - (start or 0)
    if start is None:
        send(head("200 OK", Content_Length=length, **headers))
    else:
        part = f"bytes {start}-{len(content) - 1}/{len(content)}"
        send(head("206 Partial Content", Content_Length=length, Content_Range=part, **headers))
    return partial(_send_part, content, send, start or 0)


def _send_part(content: bytes, send: Callable[[bytes], None], start: int, end: int | None) -> None:
    send(content[start:end])
