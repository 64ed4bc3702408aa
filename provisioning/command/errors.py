"""What can be wrong with a command line; each error is also the builtin that fits it."""

from node.messages import SimpulError


class UsageError(SimpulError, ValueError):
    """A command, option or value that does not exist or does not fit; nothing was run."""
