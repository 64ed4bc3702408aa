"""Runs a Debian root under its own systemd in namespaces: a machine at this one's own speed.

It has its own processes, network, users' files and services; only the kernel is shared, of which it
can change nothing (see start_system). What it writes is gone with it.
"""

import os
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Self

from services.waiting import until

_START = Path(__file__).with_name("start_system")
_PROGRAMS = ("unshare", "nsenter", "setpriv", "pivot_root")


def why_no_namespaces() -> str:
    """Return why no system can be run here; empty when one can."""
    if os.geteuid() != 0:
        return "a system in namespaces needs root"
    path = "/usr/sbin:/usr/bin:/sbin:/bin"
    missing = [program for program in _PROGRAMS if shutil.which(program, path=path) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


class NamespacedSystem:
    """One system; it runs within the `with` block."""

    def __init__(self, root: Path, folder: Path, *, prepare: str, disk: Path | None = None) -> None:
        """`root` is left as it is; `prepare` (sh) runs in the new root's folder before its init.

        What it writes is kept in memory or, where there are many, in the folder `disk`.
        """
        self._root = root
        self._folder = folder
        self._disk = disk
        self._group = f"simpul-{secrets.token_hex(4)}"
        self._process: subprocess.Popen[bytes] | None = None
        self.pid = 0
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "prepare").write_text(prepare)

    def __enter__(self) -> Self:
        machine = self._folder / "machine"
        with (self._folder / "console").open("wb") as console:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "sh", str(_START), str(self._root), str(machine),
                 str(self._folder / "prepare"), str(self._disk or ""), self._group],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console,
            )  # fmt: skip
        try:
            until(self._started, f"systemd in {machine}; see {self._folder}/console")
            # Ends when everything of the boot has started or failed.
            self.run("systemctl", "is-system-running", "--wait", check=False)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the system, as root."""
        words = ["nsenter", "--all", f"--target={self.pid}", *command]
        return subprocess.run(words, check=check, capture_output=True, text=True)

    @property
    def network(self) -> list[str]:
        """What stands before a command of this machine that is to use the system's network."""
        return ["nsenter", "--net", f"--target={self.pid}"]

    def ended(self) -> bool:
        """Tell whether the system's first process has ended, as after its power-off."""
        return self._process is None or self._process.poll() is not None

    def close(self) -> None:
        """Kill everything in it, and remove its control group."""
        if self._process is None:
            return
        self._process.kill()  # unshare takes its child, the system's first process, with it
        self._process.wait()
        self._process = None
        script = (
            'mount -t cgroup2 cgroup2 "$1" && cd "$1" && '
            'for _ in $(seq 100); do find "$2" -depth -type d -exec rmdir {} + 2> /dev/null;'
            ' [ -d "$2" ] || exit 0; sleep 0.1; done; exit 1'
        )
        words = ["unshare", "--mount", "sh", "-c", script, "sh", str(self._folder / "machine")]
        subprocess.run([*words, self._group], check=True)
        if self._disk and self._disk.exists():
            shutil.rmtree(self._disk)

    def _started(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError((self._folder / "console").read_text(errors="replace"))
        number = self._process.pid
        children = Path(f"/proc/{number}/task/{number}/children").read_text().split()
        if not children:
            return False
        process = Path("/proc", children[0])
        try:
            name = (process / "comm").read_text().strip()
        except (FileNotFoundError, ProcessLookupError):
            return False  # one of the short-lived before it, which just ended
        if name != "systemd":
            return False
        self.pid = int(children[0])
        return (process / "root/run/dbus/system_bus_socket").exists()
