"""Names a node's connection to the broker, so that nobody else can put the node out.

A broker ends the connection of a client id that comes again (MQTT 3.1.1, 3.1.4), and Mosquitto
does so whatever the certificate.
"""

import hashlib
import hmac
from pathlib import Path

from node.errors import UplinkError
from node.settings import Uplink

_DIGITS = 16


def client_id_of(name: str, uplink: Uplink) -> str:
    """Return `name`, and behind it digits that only who has the node's key can tell.

    They tell nothing of the key. Without one it is `name` itself. Raises UplinkError when the key
    cannot be read.
    """
    if not uplink.key_file:
        return name
    try:
        key = Path(uplink.key_file).read_bytes()
    except OSError as error:
        raise UplinkError(f"{uplink.key_file}: cannot be read: {error.strerror}") from error
    digest = hmac.digest(key, name.encode(), hashlib.sha256)
    return f"{name}-{digest.hex()[:_DIGITS]}"
