"""Takes a broker's address apart."""

from typing import NamedTuple
from urllib.parse import urlsplit

from hub.errors import SettingsError


class BrokerAddress(NamedTuple):
    """Where a broker listens."""

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def broker_address(url: str) -> BrokerAddress:
    """Return the parts of mqtt://host:port or mqtts://host:port. Raises SettingsError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise SettingsError(f"broker.urls: {url}: {error}") from error
    if parts.scheme not in {"mqtt", "mqtts"} or not host or not port:
        raise SettingsError(f"broker.urls: {url}: write mqtt://host:port or mqtts://host:port")
    return BrokerAddress(host, port, tls=parts.scheme == "mqtts")
