"""What can go wrong in a rollout; each error is also the builtin that fits it."""

from node.messages import SimpulError


class PlanError(SimpulError, ValueError):
    """The rollout that was asked for cannot be planned."""


class RecordError(SimpulError, ValueError):
    """The record of a rollout is unreadable, another's, or in use."""


class UnreachableError(SimpulError, ConnectionError):
    """The node does not answer, or is not the one it was."""


class RefusedError(UnreachableError):
    """The node answers, and lets nobody in with what was shown to it."""


class NodeError(SimpulError, RuntimeError):
    """The node answers, and cannot do what it was told."""


class PutOffError(SimpulError, RuntimeError):
    """The rollout is held or stopped, and a node that was begun was not told anything yet."""
