"""Looks at an ext4 after a power cut as the kernel would: journal first, then everything."""

import subprocess
from pathlib import Path

from services.powercut import sparse_copy

_CORRECTED = 1  # e2fsck(8): errors corrected; a replayed journal is told so too


class Ext4Error(ValueError):
    """The file system is damaged beyond what its journal heals."""


def recover(disk: Path, to: Path) -> Path:
    """Copy `disk` to `to`, replay the journal there, check the rest, and return `to`.

    Raises Ext4Error with what e2fsck found.
    """
    sparse_copy(disk, to)
    replay_journal(to)
    return to


def replay_journal(disk: Path) -> None:
    """Replay the journal of `disk`, and check the rest. Raises Ext4Error with what e2fsck found."""
    journal = _run("e2fsck", "-y", "-E", "journal_only", str(disk))
    if journal.returncode > _CORRECTED:
        raise Ext4Error(f"journal: {journal.stdout.decode(errors='replace')}")
    check = _run("e2fsck", "-f", "-n", str(disk))
    if check.returncode:
        raise Ext4Error(check.stdout.decode(errors="replace"))


def preen(disk: Path) -> None:
    """Let `disk` be healed as the initramfs of an image does before it mounts the data.

    The kernel refuses a growth that was half written back, although its journal has all of it;
    e2fsck finds its way to the journal by the backups. Raises Ext4Error when it does not.
    """
    preened = _run("e2fsck", "-p", str(disk))
    if preened.returncode > _CORRECTED:
        raise Ext4Error(f"preened: {preened.stdout.decode(errors='replace')}")


def read(disk: Path, path: str) -> bytes | None:
    """Return the content of the file `path` on a recovered `disk`; None when it is not there."""
    done = _run("debugfs", "-R", f"cat {path}", str(disk))
    return None if b"File not found" in done.stderr else done.stdout


def _run(*command: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, capture_output=True, check=False)
