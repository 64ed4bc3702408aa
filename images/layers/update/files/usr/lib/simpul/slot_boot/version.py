"""Compares versions of images (Semantic Versioning 2.0.0, sections 9 to 11; 1 and 1.2 will do).

RAUC runs `bundle-check` before an installation: what is older than what runs is refused.
"""

import re
from pathlib import Path

from slot_boot.errors import VersionError

_VERSION = re.compile(
    r"(?P<core>(?:0|[1-9][0-9]{0,8})(?:\.(?:0|[1-9][0-9]{0,8})){0,2})"
    r"(?:-(?P<before>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
    r"(?:\+[0-9A-Za-z.-]+)?",
    re.ASCII,
)
_NAME = "IMAGE_VERSION="

Rank = tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]


def rank(version: str) -> Rank:
    """Return what orders versions; a pre-release stands before its release. Raises VersionError."""
    found = _VERSION.fullmatch(version)
    if found is None:
        raise VersionError(f"{version!r} is no version such as 1.4.0 or 1.4.0-rc.1")
    numbers = [int(part) for part in found["core"].split(".")]
    core = tuple(numbers + [0] * (3 - len(numbers)))
    before = tuple(_identifier(part) for part in (found["before"] or "").split(".") if part)
    return core, not before, before


def refusal(bundle: str, release: Path) -> str:
    """Return why a bundle of this version is not installed; empty when it is.

    `release` is the os-release(5) of what runs.
    """
    try:
        running = running_version(release)
        if rank(bundle) >= rank(running):
            return ""
    except VersionError as error:
        return str(error)
    return f"version {bundle} is older than {running}, which runs: build a bundle that is newer"


def running_version(release: Path) -> str:
    """Return IMAGE_VERSION of an os-release(5). Raises VersionError when there is none."""
    try:
        lines = release.read_text("utf-8").splitlines()
    except OSError as error:
        raise VersionError(f"{release}: cannot be read: {error.strerror}") from error
    found = [line.removeprefix(_NAME).strip("\"'") for line in lines if line.startswith(_NAME)]
    if not found:
        raise VersionError(f"{release}: no {_NAME}")
    return found[-1]


def _identifier(part: str) -> tuple[bool, int, str]:
    """Numbers stand before words, and are compared as numbers (section 11.4)."""
    return (False, int(part), "") if part.isdigit() else (True, 0, part)
