"""Gives tests block devices of their own: loop devices on sparse files, read past the cache."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from provisioning.flash.device import Device, list_devices

MIB = 2**20


def why_no_loop() -> str:
    """Return why no loop device can be made here; empty when one can."""
    if os.geteuid() != 0:
        return "loop devices need root"
    return "" if shutil.which("losetup") else "losetup (package mount) is not installed"


needs_loop = pytest.mark.skipif(bool(why_no_loop()), reason=why_no_loop() or "can")


@contextmanager
def loop_card(file: Path, size_bytes: int = 0) -> Iterator[Device]:
    """Give a loop device on `file`, which is made when `size_bytes` says so; detach at the end."""
    if size_bytes:
        with file.open("xb") as new:
            new.truncate(size_bytes)
    path = attach(file)
    try:
        yield device_at(path)
    finally:
        subprocess.run(["losetup", "--detach", path], check=True)


def attach(file: Path) -> str:
    """Attach `file`; return the device's path."""
    command = ["losetup", "--find", "--show", "--direct-io=on", str(file)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def device_at(path: str) -> Device:
    """Return what sysfs says of a device that is there."""
    return next(each for each in list_devices() if each.path == path)
