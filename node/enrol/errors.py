"""What can go wrong on the node while it is enrolled; each error is also the builtin that fits."""

from node.messages import SimpulError


class EnrolError(SimpulError, OSError):
    """The node's keys or papers cannot be made, read or installed."""


class PapersError(SimpulError, ValueError):
    """What the station sent is malformed or does not fit the node's keys."""
