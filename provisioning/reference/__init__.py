"""Writes docs/reference from the models, so that the reference is never older than the code."""

from provisioning.reference.write import documents, generate, outdated

__all__ = ["documents", "generate", "outdated"]
