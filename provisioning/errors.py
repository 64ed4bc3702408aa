"""What can go wrong at the technician's desk; each error is also the builtin that fits it."""

from node.messages import SimpulError


class FleetError(SimpulError, ConnectionError):
    """The broker that knows the fleet cannot be reached or refuses."""


class DemoError(SimpulError, RuntimeError):
    """The demonstration cannot be set up or one of its programs ended."""
