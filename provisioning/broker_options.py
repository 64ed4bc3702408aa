"""The options by which commands name the broker, the same for all of them."""

import os

from provisioning.listen import BrokerAccess

_VARIABLE = "SIMPUL_BROKER"
_DEFAULT = "mqtt://127.0.0.1:1883"
BROKER_HELP = {
    "broker": f"mqtt://host:port or mqtts://host:port; else ${_VARIABLE}.",
    "ca": "CA certificates (PEM) the broker is checked against.",
    "certificate": "Your certificate (PEM) for the broker.",
    "key": "Your private key (PEM) for the broker.",
}


def broker_or_default(url: str, ca: str, certificate: str, key: str) -> BrokerAccess:
    """Return the broker at `url`, else that of the environment, else this machine's."""
    return broker_or_none(url, ca, certificate, key) or broker_at(_DEFAULT, ca, certificate, key)


def broker_or_none(url: str, ca: str, certificate: str, key: str) -> BrokerAccess | None:
    """Return the broker at `url`, else that of the environment, else None."""
    named = url or os.environ.get(_VARIABLE, "")
    return broker_at(named, ca, certificate, key) if named else None


def broker_at(url: str, ca: str, certificate: str, key: str) -> BrokerAccess:
    """Return the broker at `url`; empty papers mean none."""
    return BrokerAccess(url=url, ca_file=ca, certificate_file=certificate, key_file=key)
