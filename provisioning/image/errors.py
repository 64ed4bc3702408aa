"""What can go wrong while an image is defined, built or looked at; each is also a builtin."""

from node.messages import SimpulError


class DefinitionError(SimpulError, ValueError):
    """A layer, a flavour or a variable is not valid."""


class ArchiveError(SimpulError, ConnectionError):
    """A mirror cannot be reached, or does not hold what a layer asks for."""


class ToolError(SimpulError, FileNotFoundError):
    """A program that builds images is missing, or cannot run arm64 programs."""


class BuildError(SimpulError, RuntimeError):
    """A step of the build failed; the message names its log."""


class ImageError(SimpulError, ValueError):
    """A finished image, or what lies beside it, is not what its description says."""


class BundleError(SimpulError, ValueError):
    """A bundle cannot be made of what was given."""


class BundleKeyError(SimpulError, PermissionError):
    """The keys that sign bundles are missing, open to others, or there already."""
