"""Words what is under way to a node: a bundle, what it is known by, and its removal."""

from contextlib import suppress
from pathlib import Path

from msgspec import Struct

_KINDS = (".bundle", ".delta", ".etag")


class Fetched(Struct, frozen=True):
    """A bundle on this node's disk; `resumed`: it was put together from more than one answer."""

    file: Path
    resumed: bool = False


def tag_of(file: Path) -> Path:
    """Return where that is kept which tells what was downloaded to `file` from other content."""
    return file.with_suffix(".etag")


def keep_only(wanted: Path, incoming: Path) -> None:
    """Remove what else was sent or downloaded there: of a release that is not wanted any more."""
    for kind in _KINDS:
        for other in incoming.glob(f"*{kind}"):
            if other not in {wanted, tag_of(wanted)}:
                with suppress(OSError):
                    other.unlink()


def discard(fetched: Path, incoming: Path) -> None:
    """Remove a file that was downloaded or sent to `incoming`; others are left alone."""
    if fetched.parent == incoming:
        fetched.unlink(missing_ok=True)
        tag_of(fetched).unlink(missing_ok=True)
