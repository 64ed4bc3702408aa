"""What can go wrong with a bench, as opposed to a node under test."""

from node.messages import SimpulError


class BenchError(SimpulError, RuntimeError):
    """The bench cannot be used: unknown, incomplete, busy, or out of order."""
