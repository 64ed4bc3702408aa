"""Finds the bundle that an order names, on the node's own disk or at an address."""

from pathlib import Path
from urllib.parse import urlsplit

from node.install.errors import FetchError
from node.install.incoming import Fetched, keep_only


def fetch(source: str, incoming: Path, *, ca: Path | None = None) -> Fetched:
    """Return the file with the bundle that `source` names: a path, or a URL of http or https.

    A download that broke is resumed (RFC 9110, section 14), in this call and the next. `ca` holds
    certificates (PEM) that the server is checked against. Raises FetchError; InstallError where
    there is no room for it.
    """
    try:
        if is_address(source):
            from node.install.download import download  # noqa: PLC0415 - most orders need no HTTP

            return download(source, incoming, ca)
        file = local_file(source)
    except ValueError as error:  # also a name of a host that cannot be one
        raise FetchError(f"{source}: no address of http or https: {error}") from error
    if not file.is_file():
        raise FetchError(f"{source}: no such file, nor an address of http or https")
    if file.parent == incoming:
        keep_only(file, incoming)
    return Fetched(file)


def is_address(source: str) -> bool:
    """Tell whether `source` is fetched over the network; not so what can be no address at all."""
    try:
        return urlsplit(source).scheme in {"http", "https"}
    except ValueError:
        return False


def local_file(source: str) -> Path:
    """Return the path that `source` is, or has behind file:. Raises ValueError."""
    parts = urlsplit(source)
    return Path(parts.path) if parts.scheme == "file" else Path(source)
