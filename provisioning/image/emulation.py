"""Sees that arm64 programs run on this machine: natively, or by qemu-user through binfmt_misc."""

import os
import platform
import subprocess
from pathlib import Path

from provisioning.image.errors import ToolError

_FORMATS = Path("/proc/sys/fs/binfmt_misc")
_RULE = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")


def is_arm64() -> bool:
    """Tell whether this machine runs arm64 programs by itself."""
    return platform.machine() in {"aarch64", "arm64"}


def ensure_arm64() -> None:
    """Mount binfmt_misc and register qemu where that is missing and may be done.

    Raises ToolError naming the next step.
    """
    if is_arm64() or (_FORMATS / "qemu-aarch64").exists():
        return
    if not _RULE.exists():
        raise ToolError(f"{_RULE} is missing: apt-get install qemu-user-static")
    if os.geteuid() != 0:
        raise ToolError("arm64 programs do not run here yet; once, as root: simpul image prepare")
    if not (_FORMATS / "register").exists():
        command = ["mount", "-t", "binfmt_misc", "binfmt_misc", str(_FORMATS)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ToolError(f"binfmt_misc cannot be mounted: {done.stderr.strip()}")
    try:
        (_FORMATS / "register").write_bytes(_RULE.read_bytes().rstrip(b"\n"))
    except OSError as error:
        raise ToolError(f"qemu-aarch64 cannot be registered: {error.strerror}") from error
