"""Tells what a video source is by its name, and how to name it without its password."""

from urllib.parse import urlsplit

_STREAMS = ("rtsp", "rtsps")


def is_stream(source: str) -> bool:
    """Tell whether `source` is the address of a live stream rather than a file."""
    return source.partition("://")[0].lower() in _STREAMS and "://" in source


def redacted(source: str) -> str:
    """Return `source` as it may stand in a log: without user, password and query."""
    if not is_stream(source):
        return source
    try:
        parts = urlsplit(source)
        host = parts.hostname or "?"
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "the rtsp:// address"
    return f"{parts.scheme}://{host}{port}{parts.path}"
