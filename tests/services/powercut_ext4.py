"""Looks at an ext4 after a power cut as a node does: first `e2fsck -p`, then everything."""

import subprocess
from pathlib import Path

from services.powercut import sparse_copy

_CORRECTED = 1  # e2fsck(8): errors corrected; a replayed journal is told so too


class Ext4Error(ValueError):
    """The file system is damaged beyond what a node heals by itself."""


def recover(disk: Path, to: Path) -> Path:
    """Copy `disk` to `to`, have its journal replayed there, check the rest, and return `to`.

    Raises Ext4Error with what e2fsck found.
    """
    sparse_copy(disk, to)
    preened = _run("e2fsck", "-p", str(to))
    if preened.returncode > _CORRECTED:
        raise Ext4Error(f"preened: {preened.stdout.decode(errors='replace')}")
    check = _run("e2fsck", "-f", "-n", str(to))
    if check.returncode:
        raise Ext4Error(check.stdout.decode(errors="replace"))
    return to


def read(disk: Path, path: str) -> bytes | None:
    """Return the content of the file `path` on a recovered `disk`; None when it is not there."""
    done = _run("debugfs", "-R", f"cat {path}", str(disk))
    return None if b"File not found" in done.stderr else done.stdout


def _run(*command: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, capture_output=True, check=False)
