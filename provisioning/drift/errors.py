"""What can go wrong while differences are looked for; each error is also the fitting builtin."""

from node.messages import SimpulError


class DriftError(SimpulError, RuntimeError):
    """The playbook could not be checked at all."""
