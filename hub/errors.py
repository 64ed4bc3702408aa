"""What can go wrong at the hub; each error is also the builtin that fits it."""

from node.messages import SimpulError


class SettingsError(SimpulError, ValueError):
    """The settings file is unreadable or says something impossible."""


class StoreUnavailableError(SimpulError, ConnectionError):
    """The database cannot be reached or cannot write now; the same call may succeed later."""


class StoreRefusedError(SimpulError, ValueError):
    """The database refuses the content itself; the same call never succeeds."""


class BrokerError(SimpulError, ConnectionError):
    """The broker cannot be reached, refuses, or was lost."""


class PublicDirectoryError(SimpulError, OSError):
    """The public directory cannot be written."""


class ServeError(SimpulError, OSError):
    """The page cannot be served at the chosen address."""
