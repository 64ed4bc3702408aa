"""Serves one folder over HTTP with byte ranges, as streaming updates need, and counts the bytes."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_CHUNK_BYTES = 1 << 16


@dataclass(slots=True)
class Served:
    """A server, and what it has sent."""

    port: int
    sent_bytes: int = 0


@contextmanager
def range_server(folder: Path) -> Iterator[Served]:
    """Serve `folder` on loopback while the context lasts."""
    served = Served(0)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        """Answers GET and HEAD (RFC 9110, sections 9.3 and 14.2)."""

        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def log_message(self, *_: object) -> None:
            """Say nothing on the terminal."""

        def _answer(self, *, with_body: bool) -> None:
            file = folder / Path(self.path).name
            if not file.is_file():
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            size_bytes = file.stat().st_size
            asked = _RANGE.fullmatch(self.headers.get("Range", ""))
            first = int(asked[1]) if asked else 0
            last = min(int(asked[2]) if asked and asked[2] else size_bytes - 1, size_bytes - 1)
            self.send_response(HTTPStatus.PARTIAL_CONTENT if asked else HTTPStatus.OK)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(last - first + 1))
            if asked:
                self.send_header("Content-Range", f"bytes {first}-{last}/{size_bytes}")
            self.end_headers()
            if with_body:
                self._send(file, first, last - first + 1)

        def _send(self, file: Path, first: int, left: int) -> None:
            with file.open("rb") as source:
                source.seek(first)
                while left:
                    chunk = source.read(min(left, _CHUNK_BYTES))
                    self.wfile.write(chunk)
                    left -= len(chunk)
                    with lock:
                        served.sent_bytes += len(chunk)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
