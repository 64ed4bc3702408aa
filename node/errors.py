"""What can go wrong on a node; each error is also the builtin that fits it."""

from node.messages import SimpulError


class SettingsError(SimpulError, ValueError):
    """The settings file is unreadable or says something impossible."""


class MaskError(SimpulError, ValueError):
    """The mask file is missing or impossible, so no picture may be taken."""


class CameraError(SimpulError, OSError):
    """The camera cannot be opened or stopped delivering frames."""


class RadioError(SimpulError, OSError):
    """The hotspot's radio cannot be asked."""


class AccessPointError(SimpulError, RuntimeError):
    """The access point's configuration is refused by the program that it is for."""


class BoardError(SimpulError, OSError):
    """The lines of the board cannot be claimed, read or switched."""


class ReadingError(SimpulError, ValueError):
    """A file of the kernel or an answer of the firmware is not what its documentation says."""


class OutboxError(SimpulError, OSError):
    """The outbox cannot be opened at all."""


class UplinkError(SimpulError, ConnectionError):
    """The broker cannot be reached, refuses, or was lost."""
