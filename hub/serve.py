"""Serves the page and the public directory in the demo and in development.

In production nginx serves the same two directories: it caches, compresses, speaks TLS and
withstands a crowd, none of which is done here.
"""

import hashlib
import logging
import re
import socket
import socketserver
import threading
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from hub.errors import ServeError
from hub.public.directory import CAMERAS_FILE, STILLS

_log = logging.getLogger(__name__)
_SITE = Path(__file__).parent / "public" / "site"
_STILL = re.compile(rf"/{STILLS}/(?P<file>[a-z0-9]+(?:-[a-z0-9]+)*\.jpg)")
_REQUEST_TIMEOUT_SECONDS = 10
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".jpg": "image/jpeg",
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_PAGE_CACHE = "no-cache"
_CAMERAS_CACHE = "max-age=2"
_STILL_CACHE = "public, max-age=86400, immutable"


def find_file(path: str, *, site: Path, public: Path) -> tuple[Path, str] | None:
    """Return the file for the path of a request and its Cache-Control, or None.

    Only names that are listed or match a pattern are looked up, so no path leads anywhere else.
    """
    if path == "/":
        path = "/index.html"
    if path == f"/{CAMERAS_FILE}":
        return public / CAMERAS_FILE, _CAMERAS_CACHE
    if still := _STILL.fullmatch(path):
        return public / STILLS / still["file"], _STILL_CACHE
    listed = {f"/{file.name}": file for file in site.iterdir() if file.suffix in _TYPES}
    return (listed[path], _PAGE_CACHE) if path in listed else None


def serve(
    public: Path,
    *,
    address: str,
    port: int,
    stop: threading.Event,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until `stop` is set; `ready` gets the page's URL. Raises ServeError."""
    try:
        server = ThreadingHTTPServer((address, port), partial(_Handler, public))
    except (OSError, OverflowError) as error:
        raise ServeError(f"cannot listen on {address} port {port}: {error}") from error
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2})
        thread.start()
        if ready is not None:
            ready(f"http://{address}:{server.server_address[1]}/")
        stop.wait()
        server.shutdown()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server_version = "simpul-hub"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = _REQUEST_TIMEOUT_SECONDS

    def __init__(
        self,
        public: Path,
        request: socket.socket,
        client_address: tuple[str, int],
        server: socketserver.BaseServer,
    ) -> None:
        self._public = public
        super().__init__(request, client_address, server)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        _log.debug(format, *args)

    def _answer(self, *, with_body: bool) -> None:
        found = find_file(urlsplit(self.path).path, site=_SITE, public=self._public)
        try:
            content = found[0].read_bytes() if found else None
        except OSError:
            content = None
        if found is None or content is None:
            self._send(HTTPStatus.NOT_FOUND, b"404\n", with_body=with_body)
            return
        tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        extra = {
            "Content-Type": _TYPES[found[0].suffix],
            "Cache-Control": found[1],
            "ETag": tag,
        }
        if self.headers.get("If-None-Match") == tag:
            self._send(HTTPStatus.NOT_MODIFIED, b"", extra, with_body=False)
            return
        self._send(HTTPStatus.OK, content, extra, with_body=with_body)

    def _send(
        self,
        status: HTTPStatus,
        content: bytes,
        extra: dict[str, str] | None = None,
        *,
        with_body: bool,
    ) -> None:
        self.send_response(status)
        for name, value in {
            **_HEADERS,
            **(extra or {"Content-Type": "text/plain", "Cache-Control": "no-store"}),
        }.items():
            self.send_header(name, value)
        if status is not HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_body:
            self.wfile.write(content)
