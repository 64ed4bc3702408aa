"""What can go wrong while a release is made; each error is also the builtin that fits it."""

from node.messages import SimpulError


class BuildError(SimpulError, RuntimeError):
    """The release cannot be built from this source tree on this machine."""


class SigningError(SimpulError, ValueError):
    """The key cannot sign, or the bundle cannot be signed."""
