"""Makes and takes one-time enrolment tokens; only a hash of each is kept.

A token lies on a freshly flashed card and lets that card be enrolled once. Presenting it again
with the same key only resumes an enrolment that a pulled cable cut short; with any other key it is
refused.
"""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta

from provisioning.authority.errors import TokenError
from provisioning.register import Register, as_text, now_text

VALID_HOURS = 14 * 24.0
_RANDOM_BYTES = 32


def make_token() -> str:
    """Return a new token: 256 random bits in URL-safe base 64."""
    return secrets.token_urlsafe(_RANDOM_BYTES)


def token_hash(token: str) -> str:
    """Return what is kept of a token; it is random, so a plain SHA-256 cannot be guessed back."""
    return hashlib.sha256(token.encode()).hexdigest()


def record_token(
    register: Register, node: str, token: str, *, valid_hours: float = VALID_HOURS
) -> None:
    """Note a token for `node`; older unused ones of the node die."""
    expires_at = as_text(datetime.now(UTC) + timedelta(hours=valid_hours))
    with register.transaction() as db:
        db.execute("DELETE FROM token WHERE node = ? AND used_at IS NULL", (node,))
        db.execute(
            "INSERT INTO token(hash, at, who, node, expires_at) VALUES (?,?,?,?,?)",
            (token_hash(token), now_text(), register.who, node, expires_at),
        )


def use_token(register: Register, node: str, token: str, used_by: str) -> None:
    """Take the token of `node` for the key with fingerprint `used_by`. Raises TokenError."""
    again = "; flash the card again, or write it a new seed"
    if not token:
        raise TokenError(f"{node}: shows no token of the card that was flashed for it{again}")
    with register.transaction() as db:
        row = db.execute("SELECT * FROM token WHERE hash = ?", (token_hash(token),)).fetchone()
        if row is None or row["node"] != node:
            raise TokenError(f"{node}: the card's enrolment token is not one of this node{again}")
        if row["expires_at"] <= now_text():
            raise TokenError(f"{node}: the token ended on {row['expires_at']}{again}")
        if row["used_at"] is not None and row["used_by"] != used_by:
            raise TokenError(f"{node}: the token was used on {row['used_at']}{again}")
        db.execute(
            "UPDATE token SET used_at = coalesce(used_at, ?), used_by = ? WHERE hash = ?",
            (now_text(), used_by, row["hash"]),
        )
