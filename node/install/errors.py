"""What can go wrong while a release is installed; each error is also the builtin that fits it."""

from node.messages import SimpulError


class BundleError(SimpulError, ValueError):
    """The bundle is damaged, truncated, hostile or not for this machine."""


class TrustError(SimpulError, PermissionError):
    """Too few trusted keys have signed, or the release is older than what this node has had."""


class FetchError(SimpulError, ConnectionError):
    """The bundle cannot be had from where it was said to be."""


class InstallError(SimpulError, RuntimeError):
    """The release cannot be installed here; what ran before still does."""


class UnfitError(InstallError):
    """The release itself says that it would not run with this node's settings."""


class BusyError(SimpulError, BlockingIOError):
    """Another installation runs, or a release awaits its confirmation."""


class ServiceError(SimpulError, OSError):
    """The agent's service does not do as it is told."""


class InstallStateError(SimpulError, ValueError):
    """The installer's own record is unreadable."""
