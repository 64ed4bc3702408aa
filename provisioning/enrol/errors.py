"""What can go wrong while a node is enrolled; each error is also the builtin that fits it."""

from node.messages import SimpulError


class EnrolError(SimpulError, ConnectionError):
    """The node cannot be found or does not answer as a node does."""


class NotFlashedError(SimpulError, LookupError):
    """The register knows no card of the node, so that nothing can tell it from an impostor."""


class NotYetError(EnrolError, ConnectionResetError):
    """The node's sshd refused or ended the connection before anything was said over it."""
