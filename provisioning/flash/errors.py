"""What can go wrong between image and card; each error is also the builtin that fits it."""

from node.messages import SimpulError


class ImageError(SimpulError, ValueError):
    """The image, its map or its description cannot be read or is damaged."""


class RefusedError(SimpulError, PermissionError):
    """A device that must not be written."""


class CardError(SimpulError, OSError):
    """The card failed: it cannot be written, read, or does not give back what was written."""


class FakeCapacityError(CardError):
    """The card has less memory than it claims."""


class StationError(SimpulError, ValueError):
    """The station's settings are wrong or no card is there."""


class StoppedError(SimpulError, InterruptedError):
    """A person ended it; the card can be resumed."""
