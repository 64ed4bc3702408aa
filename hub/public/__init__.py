"""What citizens see: a directory of files that a web server hands out, and nothing else."""

from hub.public.page import PublicPage

__all__ = ["PublicPage"]
