"""Gives every device a name for a day, from which nobody can tell its address.

A plain hash of a MAC address is undone by trying all of them; a keyed one (HMAC, RFC 2104) is not,
as long as the key stays secret. So the key is random, lives in memory only, is never returned or
shown, and is thrown away after a day.
"""

import hmac
import secrets
from typing import NoReturn

from node.clock import Clock

_KEY_BYTES = 32
_PSEUDONYM_HEX_DIGITS = 12
_LIFE_SECONDS = 86_400.0


class Pseudonyms:
    """Names of devices under the key of the day."""

    __slots__ = ("_clock", "_keyed", "_made_mono")

    def __init__(self, clock: Clock) -> None:
        """Make the first key; `clock` tells when a day is over."""
        self._clock = clock
        self._renew()

    def of(self, address: bytes) -> str:
        """Return 12 hexadecimal digits for `address`: the same within a day, then others."""
        # Monotonic time: a wall clock that steps back would keep a key for longer.
        if self._clock.mono() - self._made_mono >= _LIFE_SECONDS:
            self._renew()
        keyed = self._keyed.copy()
        keyed.update(address)
        return keyed.hexdigest()[:_PSEUDONYM_HEX_DIGITS]

    def __reduce__(self) -> NoReturn:
        raise TypeError("the key of the pseudonyms must not be written anywhere")

    def _renew(self) -> None:
        # Only the keyed state is kept: there is no attribute that holds the key itself.
        self._keyed = hmac.new(secrets.token_bytes(_KEY_BYTES), digestmod="sha256")
        self._made_mono = self._clock.mono()
