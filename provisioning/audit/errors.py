"""What can go wrong with the audit log; each error is also the builtin that fits it."""

from node.messages import SimpulError


class AuditError(SimpulError, OSError):
    """The log cannot be written, so nothing is done; or it cannot be read."""


class KeyMissingError(SimpulError, LookupError):
    """There is no SSH key to sign with."""
