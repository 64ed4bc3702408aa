"""Gives tests real block devices with real faults: nbdkit, seen as a file by nbdfuse, on a loop.

The kernel's own faulty devices (dm-flakey, scsi_debug) are not everywhere; these need no module
but loop and FUSE. The errors travel through the kernel's block layer as a card's would.
"""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from services.loop_cards import attach, device_at, why_no_loop
from services.waiting import until

from provisioning.flash.device import Device

_PLUGIN = Path(__file__).with_name("faulty_card_plugin.py")
_PROGRAMS = ("nbdkit", "nbdfuse")


def _why_not() -> str:
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if not Path("/dev/fuse").exists():
        missing.append("/dev/fuse")
    return why_no_loop() or (f"not there: {', '.join(missing)}" if missing else "")


needs_faulty_cards = pytest.mark.skipif(bool(_why_not()), reason=_why_not() or "can")


class FaultyCard:
    """A card in a reader. `memory` is what it keeps; `device` is what the kernel sees."""

    def __init__(self, memory: Path, device: Device, server: subprocess.Popen[bytes]) -> None:
        self.memory = memory
        self.device = device
        self._server = server

    def lose_power(self) -> None:
        """Cut the card's power: what it had not been told to keep may be gone."""
        self._server.send_signal(signal.SIGKILL)
        self._server.wait()

    def pull(self) -> None:
        """Take the card out: every request fails from now on."""
        Path(f"{self.memory}.pulled").touch()


@contextmanager
def faulty_card(memory: Path, size_bytes: int, **faults: int) -> Iterator[FaultyCard]:
    """Put a card with faults into a reader; `memory` may be of a card that was there before."""
    Path(f"{memory}.pulled").unlink(missing_ok=True)
    work = memory.with_name(f"{memory.name}.reader")
    work.mkdir()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, work)
        server = _serve(stack, work, memory, {"size": size_bytes, **faults})
        seen = work / "device"
        seen.touch()
        _see(stack, work, seen)
        path = attach(seen)
        stack.callback(server.kill)  # so that what it left hanging ends
        stack.callback(subprocess.run, ["losetup", "--detach", path], check=True)
        yield FaultyCard(memory, device_at(path), server)


def _serve(
    stack: ExitStack, work: Path, memory: Path, options: dict[str, int]
) -> subprocess.Popen[bytes]:
    words = [f"{key}={value}" for key, value in options.items() if key != "bytes_per_second"]
    pid_file = work / "nbdkit.pid"
    command = ["nbdkit", "-f", "-U", str(work / "socket"), "-P", str(pid_file)]
    if "bytes_per_second" in options:
        command.append("--filter=rate")
        words += [f"rate={8 * options['bytes_per_second']}", "burstiness=0.1"]
    command.append("python")
    server = subprocess.Popen(
        [*command, str(_PLUGIN), f"memory={memory}", *words], stderr=subprocess.DEVNULL
    )
    stack.callback(server.wait)
    until(pid_file.exists, "nbdkit")
    return server


def _see(stack: ExitStack, work: Path, seen: Path) -> None:
    pid_file = work / "nbdfuse.pid"
    command = ["nbdfuse", "-P", str(pid_file), str(seen), "--unix", str(work / "socket")]
    fuse = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    stack.callback(fuse.wait)
    # It ends with its last mount, and a mount namespace made meanwhile has one too.
    stack.callback(fuse.terminate)
    stack.callback(subprocess.run, ["umount", "--lazy", str(seen)], check=True)
    until(pid_file.exists, "nbdfuse")
