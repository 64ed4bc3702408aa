"""Brings a file onto the node, over links that break: what is there already is not sent again."""

import hashlib
import http.client
import os
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path

from node.install.errors import FetchError
from node.install.places import tag_of

_CHUNK_BYTES = 256 * 1024
_BUNDLE_BYTES_MAX = 2 * 2**30
_ATTEMPTS = 5
_PAUSE_S = 1.0
_TIMEOUT_S = 30
_PARTIAL_CONTENT = 206  # RFC 9110, section 15.3.7
_NOT_SATISFIABLE = 416
_CLIENT_ERRORS = range(400, 500)


def download(url: str, incoming: Path, ca: Path | None) -> Path:
    """Return the file that `url` was fetched to, over however many attempts. Raises FetchError."""
    opener = _opener(ca)
    incoming.mkdir(parents=True, exist_ok=True)
    file = incoming / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.bundle"
    for other in incoming.iterdir():
        if other not in {file, tag_of(file)}:
            other.unlink()  # of a release that is not wanted any more
    failures = 0
    while True:
        before_bytes = file.stat().st_size if file.exists() else 0
        try:
            _append(url, file, opener)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, FetchError):
                raise
            if isinstance(error, urllib.error.HTTPError) and error.code in _CLIENT_ERRORS:
                raise FetchError(f"{url}: {error.code} {error.reason}") from error
            grown = file.exists() and file.stat().st_size > before_bytes
            failures = 1 if grown else failures + 1
            if failures == _ATTEMPTS:
                raise FetchError(f"{url}: {error}; try again, it will be resumed") from error
            time.sleep(_PAUSE_S * failures)
        else:
            return file


def _append(url: str, file: Path, opener: urllib.request.OpenerDirector) -> None:
    """Fetch what `file` lacks of `url`."""
    have_bytes = file.stat().st_size if file.exists() else 0
    headers = {"Range": f"bytes={have_bytes}-"} if have_bytes else {}
    if have_bytes and tag_of(file).exists():
        headers["If-Range"] = tag_of(file).read_text()  # RFC 9110, section 13.1.5
    try:
        answer = opener.open(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT_S)  # noqa: S310 - http and https only, see fetch
    except urllib.error.HTTPError as error:
        with error:
            whole = error.headers.get("Content-Range", "").rpartition("/")[2]
        if error.code != _NOT_SATISFIABLE:
            raise
        if whole == str(have_bytes):
            return  # all of it is there
        file.unlink()
        raise ConnectionError("what was there is no part of it; starting anew") from error
    with answer:
        resumed = answer.status == _PARTIAL_CONTENT
        if resumed and not answer.headers.get("Content-Range", "").startswith(
            f"bytes {have_bytes}-"
        ):
            raise ConnectionError("the server sent another part than asked for")
        length_bytes = answer.length
        if not resumed:
            tag = answer.headers.get("ETag", "")
            file.unlink(missing_ok=True)
            tag_of(file).unlink(missing_ok=True)
            if tag.startswith('"'):  # a weak one does not vouch for bytes
                tag_of(file).write_text(tag)
        with file.open("ab") as out:
            done_bytes = _copy(url, answer, out.fileno())
    if length_bytes is not None and done_bytes < length_bytes:
        raise ConnectionError(f"broke off after {done_bytes} of {length_bytes} bytes")


def _copy(url: str, answer: http.client.HTTPResponse, out: int) -> int:
    done_bytes = 0
    while piece := answer.read1(_CHUNK_BYTES):
        if os.lseek(out, 0, os.SEEK_CUR) + len(piece) > _BUNDLE_BYTES_MAX:
            raise FetchError(f"{url}: more than {_BUNDLE_BYTES_MAX} bytes; refused")
        os.write(out, piece)
        done_bytes += len(piece)
    return done_bytes


def _opener(ca: Path | None) -> urllib.request.OpenerDirector:
    context = ssl.create_default_context()
    if ca is not None:
        try:
            context.load_verify_locations(ca)
        except (OSError, ssl.SSLError) as error:
            raise FetchError(f"{ca}: holds no certificates: {error}") from error
    return urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
