"""What can go wrong while a node is helped; each error is also the builtin that fits it."""

from node.messages import SimpulError


class RemoteError(SimpulError, RuntimeError):
    """The node answers, and did not do what it was asked."""


class SilentError(SimpulError, TimeoutError):
    """The node did not answer in time."""
