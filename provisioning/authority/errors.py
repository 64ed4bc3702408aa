"""What can go wrong with the authority; each error is also the builtin that fits it."""

from node.messages import SimpulError


class AuthorityError(SimpulError, ValueError):
    """The authority is missing, already there, or cannot be used as asked."""


class PassphraseError(SimpulError, PermissionError):
    """The passphrase is wrong, too short, or stands where others can read it."""


class RequestError(SimpulError, ValueError):
    """A certificate request is malformed or does not fit the node it comes from."""


class TokenError(SimpulError, PermissionError):
    """An enrolment token is unknown, of another node, used, or too late."""
