"""Names a connection to the broker, so that nobody else can put it out.

A broker ends the connection of a client id that comes again (MQTT 3.1.1, 3.1.4), and Mosquitto
does so whatever the user, the certificate and the listener; what it kept for it is gone then.
"""

import hashlib
import hmac

_DIGITS = 16


def session_name(name: str, secret: bytes) -> str:
    """Return `name`, and behind it digits that only who has the secret can tell.

    They tell nothing of the secret, and stay as long as it does. Without one it is `name` itself.
    """
    if not secret:
        return name
    return f"{name}-{hmac.digest(secret, name.encode(), hashlib.sha256).hex()[:_DIGITS]}"
