"""Brings a file onto the node, over links that break: what is there already is not sent again."""

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from email.utils import parsedate_to_datetime
from http.client import HTTPMessage
from pathlib import Path

from node.durable import is_full
from node.install.errors import FetchError, InstallError
from node.install.incoming import Fetched, discard, keep_only, tag_of
from node.install.opener import make_opener
from node.install.pace import Pace
from node.install.space import check_space

_CHUNK_BYTES = 256 * 1024
_BUNDLE_BYTES_MAX = 2 * 2**30
_ATTEMPTS = 5
_PAUSE_S = 1.0
_TIMEOUT_S = 30
_PARTIAL_CONTENT = 206  # RFC 9110, section 15.3.7
_NOT_SATISFIABLE = 416
# A redirection that stays an error leads nowhere, or in a circle.
_FINAL_ERRORS = range(300, 500)


def download(url: str, incoming: Path, ca: Path | None) -> Fetched:
    """Return the file that `url` was fetched to, over however many attempts.

    What does not fit is not left there. Raises FetchError, InstallError.
    """
    pace = Pace(url)
    opener = make_opener(ca, pace)
    incoming.mkdir(parents=True, exist_ok=True)
    file = incoming / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.bundle"
    keep_only(file, incoming)
    try:
        return _fetched(url, file, opener, pace)
    except InstallError:
        discard(file, incoming)
        raise


def _fetched(url: str, file: Path, opener: urllib.request.OpenerDirector, pace: Pace) -> Fetched:
    failures, resumed = 0, False
    while True:
        before_bytes = _size_bytes(file)
        try:
            pace.check()
            resumed = _append(url, file, opener, pace)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, FetchError):
                raise
            if isinstance(error, OSError) and is_full(error):
                raise InstallError(f"{file}: {error.strerror}; remove old releases") from error
            if isinstance(error, urllib.error.HTTPError) and error.code in _FINAL_ERRORS:
                raise FetchError(f"{url}: {error.code} {error.reason}") from error
            failures = 1 if _size_bytes(file) > before_bytes else failures + 1
            if failures == _ATTEMPTS:
                raise FetchError(f"{url}: {error}; try again, it will be resumed") from error
            time.sleep(_PAUSE_S * failures)
        else:
            return Fetched(file, resumed)


def _append(url: str, file: Path, opener: urllib.request.OpenerDirector, pace: Pace) -> bool:
    """Fetch what `file` lacks of `url`; return whether some of it was there."""
    tag = tag_of(file).read_text() if tag_of(file).exists() else ""
    if not tag:
        discard(file, file.parent)  # nobody knows of which content it is a part
    have_bytes = _size_bytes(file)
    headers = {"Range": f"bytes={have_bytes}-", "If-Range": tag} if have_bytes else {}
    try:
        answer = opener.open(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT_S)  # noqa: S310 - http and https only, see fetch
    except urllib.error.HTTPError as error:
        with error:
            whole = error.headers.get("Content-Range", "").rpartition("/")[2]
        if error.code != _NOT_SATISFIABLE:
            raise
        if whole == str(have_bytes):
            return True  # all of it is there
        file.unlink()
        raise ConnectionError("what was there is no part of it; starting anew") from error
    with answer:
        resumed: bool = answer.status == _PARTIAL_CONTENT
        if resumed and not answer.headers.get("Content-Range", "").startswith(
            f"bytes {have_bytes}-"
        ):
            raise ConnectionError("the server sent another part than asked for")
        if not resumed:
            discard(file, file.parent)
            if tag := _tag_in(answer.headers):
                tag_of(file).write_text(tag)
        _copy(url, answer, file, pace)
    return resumed


def _tag_in(headers: HTTPMessage) -> str:
    """Return what If-Range may name (RFC 9110, section 13.1.5): it vouches for every byte."""
    tag = headers.get("ETag", "")
    if tag.startswith('"'):
        return tag
    changed = headers.get("Last-Modified", "")
    try:
        settled_s = parsedate_to_datetime(headers["Date"]) - parsedate_to_datetime(changed)
    except (TypeError, ValueError, OverflowError):
        return ""
    # Within one second it may have changed twice.
    return changed if settled_s.total_seconds() >= 1 else ""


def _copy(url: str, answer: http.client.HTTPResponse, file: Path, pace: Pace) -> None:
    length_bytes, done_bytes = answer.length, 0
    check_space(file.parent, length_bytes or 0)
    with file.open("ab") as out:
        while piece := answer.read1(_CHUNK_BYTES):
            if out.tell() + len(piece) > _BUNDLE_BYTES_MAX:
                discard(file, file.parent)
                raise FetchError(f"{url}: more than {_BUNDLE_BYTES_MAX} bytes; refused")
            check_space(file.parent, len(piece))
            out.write(piece)
            pace.came(len(piece))
            done_bytes += len(piece)
    if length_bytes is not None and done_bytes < length_bytes:
        raise ConnectionError(f"broke off after {done_bytes} of {length_bytes} bytes")


def _size_bytes(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
