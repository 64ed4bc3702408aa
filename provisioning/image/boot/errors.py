"""What can go wrong when a card image is booted; each error is also the builtin that fits it."""

from node.messages import SimpulError


class CardError(SimpulError, ValueError):
    """The card image holds nothing that the firmware would boot."""


class MachineError(SimpulError, RuntimeError):
    """The emulated machine cannot be started or ended before what was waited for."""


class MachineTimeoutError(SimpulError, TimeoutError):
    """The emulated machine did not say in time what was waited for."""
