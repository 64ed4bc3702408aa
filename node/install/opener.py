"""Opens addresses of http and https, and of nothing else, from servers that are not too slow."""

import http.client
import io
import socket
import ssl
import urllib.request
from collections.abc import Callable
from functools import partial
from http.client import HTTPMessage
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from node.install.errors import FetchError
from node.install.pace import Pace

Connect = Callable[..., http.client.HTTPConnection]
# urllib's own opener knows ftp:, file: and data: as well, and redirections lead to the first.
_HANDLERS = (
    urllib.request.ProxyHandler,
    urllib.request.UnknownHandler,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.HTTPErrorProcessor,
)


def make_opener(ca: Path | None, pace: Pace) -> urllib.request.OpenerDirector:
    """Return what opens addresses; `ca` holds more certificates (PEM). Raises FetchError."""
    context = ssl.create_default_context()
    if ca is not None:
        try:
            context.load_verify_locations(ca)
        except (OSError, ssl.SSLError) as error:
            raise FetchError(f"{ca}: holds no certificates: {error}") from error
    opener = urllib.request.OpenerDirector()
    for each in _HANDLERS:
        opener.add_handler(each())
    for handler in (_Redirections(), _Plain(pace), _Secure(pace, context)):
        opener.add_handler(handler)
    return opener


class _Redirections(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme not in {"http", "https"}:
            fp.close()
            raise FetchError(f"{req.full_url}: leads to {newurl}, which is neither http nor https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Plain(urllib.request.HTTPHandler):
    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_paced(http.client.HTTPConnection, self._pace), req)


class _Secure(urllib.request.HTTPSHandler):
    def __init__(self, pace: Pace, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self._pace = pace
        self._of_ours = context

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        connect = _paced(http.client.HTTPSConnection, self._pace)
        return self.do_open(connect, req, context=self._of_ours)


def _paced(kind: Connect, pace: Pace) -> Connect:
    """Return what makes connections of that `kind` whose answers keep the pace."""

    def connect(host: str, **options: object) -> http.client.HTTPConnection:
        connection = kind(host, **options)
        connection.response_class = partial(_Answer, pace)  # type: ignore[assignment] # is called
        return connection

    return connect


class _Answer(http.client.HTTPResponse):
    """An answer that is looked at each time something of it comes, its head included."""

    def __init__(
        self, pace: Pace, sock: socket.socket, debuglevel: int = 0, method: str | None = None
    ) -> None:
        super().__init__(sock, debuglevel, method)
        self.fp.close()
        self.fp = io.BufferedReader(_Looked(sock.makefile("rb", buffering=0), pace))


class _Looked(io.RawIOBase):
    def __init__(self, stream: socket.SocketIO, pace: Pace) -> None:
        super().__init__()
        self._stream = stream
        self._pace = pace

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - whatever io gives it
        self._pace.check()
        return self._stream.readinto(buffer)

    def close(self) -> None:
        self._stream.close()
        super().close()
