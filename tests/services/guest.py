"""Boots a guest with Debian's stock kernel on this machine's own files, for real drivers.

The root file system is the machine's own, read-only over 9p below a layer of memory: programs,
virtual environment and tests run there unmodified and leave nothing behind. QEMU emulates the
processor (TCG), so that nothing but its package is needed.
"""

import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.guest_kernel import ROOT, image, kernel_folder, modules_folder, write_initramfs

_QEMU = "qemu-system-x86_64"
_PROGRAMS = (_QEMU, "/bin/busybox", "cpio", "depmod", "apt-get", "dpkg-deb")


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command in the guest ended."""

    status: int
    output: str
    console: str


@dataclass(frozen=True, slots=True)
class Drive:
    """A disk of the guest: /dev/vda, vdb ... in the order given, once virtio_blk is loaded."""

    file: Path
    """Raw; the guest writes to it."""
    log: Path | None = None
    """Every write and flush goes here, in the form that `powercut_log` reads; created anew."""


def why_no_guest() -> str:
    """Return why no guest can be booted here; empty when one can."""
    if platform.machine() != "x86_64":
        return f"the guest is x86-64 and this machine is {platform.machine()}"
    if os.geteuid() != 0:
        return "sharing the machine's files with a guest needs root"
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


def run_in_guest(  # noqa: PLR0913 - each is one property of the guest
    command: str,
    directory: Path,
    *,
    timeout_s: float = 300,
    systemd: bool = False,
    drives: Sequence[Drive] = (),
    root: Path = Path("/"),
    machine: Sequence[str] = (),
) -> Ran:
    """Boot, run `command` (sh) as root, and power off.

    Another `root` than the machine's own brings its kernel. The project is shown wherever it lies.
    `machine`: more of QEMU's arguments.

    `directory` is writable there at /run/guest. With `systemd`, its own init runs and has to write
    `status` and `output` there, and power off. Raises TimeoutError with the console's end, or
    RuntimeError when the guest ended without a status.
    """
    own = root == Path("/")
    kernel = kernel_folder() if own else root
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "command").write_text(command + "\n")
    (directory / "modules").write_text(str(modules_folder(kernel)) if own else "")
    (directory / "project").write_text(str(ROOT))
    if systemd:
        (directory / "systemd").touch()
    write_initramfs(kernel, directory / "initramfs")
    console = directory / "console"
    with console.open("wb") as out:
        try:
            subprocess.run(
                [*_qemu(image(kernel), directory, root), *_drives(drives), *machine],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=timeout_s,
                check=True,
            )
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(
                f"the guest did not end within {timeout_s:g} s: {_text(console)[-2000:]}"
            ) from error
    if not (status := _text(directory / "status").strip()):
        raise RuntimeError(f"the guest ended before its command: {_text(console)[-2000:]}")
    return Ran(int(status), _text(directory / "output"), _text(console))


def _qemu(kernel: Path, directory: Path, root: Path) -> list[str]:
    share = "local,security_model=none,multidevs=remap"
    return [
        *(_QEMU, "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"),
        *("-m", "1536", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-serial", "stdio", "-kernel", str(kernel), "-initrd", str(directory / "initramfs")),
        *("-append", "console=ttyS0 quiet panic=-1 rdinit=/init"),
        *("-virtfs", f"{share},path={root},mount_tag=machine,readonly=on"),
        *("-virtfs", f"{share},path={ROOT},mount_tag=project,readonly=on"),
        *("-virtfs", f"{share},path={directory},mount_tag=exchange"),
    ]


def _drives(drives: Sequence[Drive]) -> list[str]:
    words: list[str] = []
    for number, drive in enumerate(drives):
        node = f"drive{number}"
        words += ["-blockdev", f"driver=file,node-name={node}-file,filename={drive.file}"]
        if drive.log is None:
            words += ["-blockdev", f"driver=raw,node-name={node},file={node}-file"]
        else:
            drive.log.write_bytes(b"")
            # The log's count of entries is brought up to date at every write, not at flushes only.
            log = f"driver=file,node-name={node}-log,filename={drive.log},cache.no-flush=on"
            tap = f"driver=blklogwrites,node-name={node},file={node}-file,log={node}-log"
            words += ["-blockdev", log, "-blockdev"]
            words += [f"{tap},discard=unmap,log-super-update-interval=1"]
        words += ["-device", f"virtio-blk-pci,drive={node}"]
    return words


def _text(file: Path) -> str:
    return file.read_text(errors="replace") if file.exists() else ""
