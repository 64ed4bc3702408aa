"""Names the session that the broker keeps, so that nobody else can take it over."""

import hashlib
import hmac

_DIGITS = 16


def session_name(client_id: str, *, password: str) -> str:
    """Return `client_id`, and behind it digits that only who knows the password can tell.

    Mosquitto tells sessions apart by this name alone, whatever the user and the listener: a node
    that knew it could put the collector out and have the session forgotten. It stays the same
    as long as the password does. Without a password it is `client_id` itself.
    """
    if not password:
        return client_id
    digest = hmac.digest(password.encode(), client_id.encode(), hashlib.sha256)
    return f"{client_id}-{digest.hex()[:_DIGITS]}"
