"""Runs an sshd of its own for a test, configured as the seed configures a node's."""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Self

from services.ports import free_port, wait_for_port

from provisioning.seed.sshd import DIRECTORY, sshd_files

_PROGRAM = "/usr/sbin/sshd"


class Sshd:
    """One sshd on loopback; every path of the node's /etc/ssh lies below `root`."""

    def __init__(self, root: Path, user_authority: bytes, krl: bytes, principal: str) -> None:
        """Write the files the seed writes; certificates naming `principal` log in as root."""
        if not Path(_PROGRAM).exists():
            raise FileNotFoundError("sshd is not installed: apt-get install openssh-server")
        self.root = root
        self.port = free_port()
        self.log = root / "sshd.log"
        self._process: subprocess.Popen[bytes] | None = None
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd(8) wants it, and systemd is not here
        for path, (mode, content) in sshd_files(user_authority, krl, {"root": principal}).items():
            file = root / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.replace(DIRECTORY.encode(), f"{root}{DIRECTORY}".encode()))
            file.chmod(int(mode, 8))
        self.krl = root / DIRECTORY.lstrip("/") / "revoked.krl"
        self.krl.write_bytes(krl)
        self.host_key = root / "etc/ssh/ssh_host_ed25519_key"
        self.config = root / "sshd_config"
        lines = (
            f"Include {root}/etc/ssh/sshd_config.d/*.conf",
            f"ListenAddress 127.0.0.1:{self.port}",
            f"PidFile {root}/sshd.pid",
            "UsePAM no",
            "StrictModes no",  # a test lives below /tmp, where everybody may write
            "LogLevel VERBOSE",
            f"HostKey {self.host_key}",
        )
        self.config.write_text("\n".join(lines) + "\n")

    def set_host_key(self, private: bytes) -> None:
        """Put the host key where cloud-init does."""
        self.host_key.write_bytes(private)
        self.host_key.chmod(0o600)

    def make_host_key(self) -> None:
        """Make one, where a test has none of a seed."""
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.host_key)]
        subprocess.run(command, check=True)

    def __enter__(self) -> Self:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [_PROGRAM, "-D", "-e", "-f", str(self.config)], stdout=log, stderr=log
            )
        wait_for_port(self.port)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it; connections that are open stay."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait()

    @property
    def pid(self) -> int:
        """Process id of the listening sshd."""
        assert self._process is not None
        return self._process.pid

    def reload(self) -> None:
        """Have it read its files again, as `systemctl reload ssh` does."""
        os.kill(self.pid, signal.SIGHUP)


def sshd_missing() -> bool:
    """Tell whether sshd cannot run here: not installed, or not root."""
    return shutil.which("sshd", path="/usr/sbin") is None or os.geteuid() != 0
