"""Names a node's connection to the broker by its own key, which nobody else has."""

from pathlib import Path

from node.errors import UplinkError
from node.messages import session_name
from node.settings import Uplink


def client_id_of(name: str, uplink: Uplink) -> str:
    """Return the client id of `name`. Raises UplinkError when the node's key cannot be read."""
    if not uplink.key_file:
        return name
    try:
        return session_name(name, Path(uplink.key_file).read_bytes())
    except OSError as error:
        raise UplinkError(f"{uplink.key_file}: cannot be read: {error.strerror}") from error
