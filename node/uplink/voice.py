"""What a node says when it comes and goes, and how it obeys; given to the uplink."""

from collections.abc import Callable

from msgspec import Struct


class Voice(Struct, frozen=True, kw_only=True):
    """Payloads are made when they are needed, so that they carry the time of that moment."""

    node: str
    birth: Callable[[], bytes]
    death: Callable[[], bytes]
    obey: Callable[[bytes], bytes | None]
    """Takes the payload of a command; returns that of its reply, if it gets one."""
