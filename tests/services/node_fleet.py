"""Runs a small fleet on this machine: nodes with their own mounts and processes, sshd and agent."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from services.ports import free_ports, wait_for_port
from services.releases import SITE, Signers, small_bundle

from node.install.lay_down import lay_down
from provisioning.register import Register
from provisioning.update.link import Way

ROOT = Path(__file__).parents[2]
_STARTING = 8
_INIT = ROOT / "tests/services/node_init.py"
# What a node writes to is its own; everything else is this machine's, and shared.
_START = """
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs run /run
mkdir -p /run/systemd/system /run/sshd
mkdir -p /opt/simpul /etc/simpul /var/lib/simpul
mount --bind "$1/opt" /opt/simpul
mount --bind "$1/etc" /etc/simpul
mount --bind "$1/var" /var/lib/simpul
mount --bind "$1/bin" /usr/local/bin
# What this machine's root does in every shell (pyenv, say) is no matter of a node's.
if [ -f ~root/.bashrc ]; then mount --bind /dev/null ~root/.bashrc; fi
if [ -d "$1/usr" ]; then
    mount -t overlay -o "lowerdir=/usr/lib,upperdir=$1/usr/lib,workdir=$1/usr/work" layer /usr/lib
fi
exec "$2" "$1/bin/node-init" "$1/sshd_config"
"""
# The agent of the tree that is tested, wrapped as a release; what it is bad at stands before.
PROGRAM = f"""#!/bin/sh
# Release {{number}}
{{bad}}
export PYTHONPATH={ROOT} PYTHONDONTWRITEBYTECODE=1
exec {sys.executable} -m node "$@"
"""
# A stand-in for the agent in large fleets: says that it is ready, and every second that it is well;
# its log tells how often it was started.
_LIGHT = """import os, socket, time
print("started", flush=True)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
    channel.connect(os.environ["NOTIFY_SOCKET"])
    channel.send(b"READY=1")
    while True:
        channel.send(b"WATCHDOG=1")
        time.sleep(1)
"""
LIGHT = f"""[ "$1" != agent ] || exec /usr/bin/python3 -S -E -c '{_LIGHT}'"""
CRASHES = '[ "$1" != agent ] || exit 3'


def fleet_missing() -> str:
    """Return why no fleet can run here; empty when one can."""
    if os.geteuid() != 0:
        return "namespaces with sshd need root"
    missing = [each for each in ("unshare", "ssh-keygen") if shutil.which(each) is None]
    if not Path("/usr/sbin/sshd").exists():
        missing.append("openssh-server")
    return f"not installed: {', '.join(missing)}" if missing else ""


@dataclass(slots=True)
class FleetNode:
    """One node: its files, its sshd's port, and its first process."""

    name: str
    folder: Path
    port: int
    host_key: str
    address: str = "127.0.0.1"
    within: tuple[str, ...] = ()
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it; its agent and sshd are up at return."""
        command = [*self.within, "unshare", "--mount", "--pid", "--uts", "--fork", "--kill-child"]
        command += ["sh", "-e", "-c", _START, "node", str(self.folder), sys.executable]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        assert self.process.stdout.readline() == "ready\n", f"{self.name} did not start"
        wait_for_port(self.port, self.address)

    def stop(self) -> None:
        """Let it vanish: no agent, no sshd."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def current(self) -> str:
        """Return the release that it points at."""
        return (self.folder / "opt/current").readlink().name


@dataclass(slots=True)
class NodeFleet:
    """Nodes named n0, n1 ..., with one release on all of them.

    What stands before every release's own start is `before`, such as LIGHT. They are reached at
    `address`, in the network that the command `within` enters.
    """

    folder: Path
    count: int
    broker: str
    before: str = ""
    address: str = "127.0.0.1"
    within: tuple[str, ...] = ()
    layers: dict[str, str] = field(default_factory=dict)
    """Programs and files of every node's own, below usr/lib."""
    signers: Signers = field(default_factory=Signers)
    nodes: dict[str, FleetNode] = field(default_factory=dict)

    def bundle(self, number: int, bad: str = "") -> Path:
        """Make a release of the tree's own agent."""
        text = PROGRAM.format(number=number, bad=f"{bad}\n{self.before}").encode()
        shared = {f"{SITE}/shared-{part}": bytes([part]) * 20_000 for part in range(4)}
        output = self.folder / f"bundles-{number}"
        output.mkdir(exist_ok=True)
        files = {"bin/simpul-node": text, **shared}
        return small_bundle(output, files, counter=number, signers=self.signers.keys[:2])

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        first = self.bundle(1)
        self._key("user")
        for number, port in enumerate(free_ports(self.count)):
            node = self._make(f"n{number}", port, first)
            self.nodes[node.name] = node
        with ThreadPoolExecutor(max_workers=_STARTING) as pool:
            list(pool.map(FleetNode.start, self.nodes.values()))
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes.values():
            node.stop()

    def ways(self) -> dict[str, Way]:
        """Return how each is reached."""
        return {
            name: Way(
                host=self.address,
                port=node.port,
                identity_file=str(self.folder / "user"),
                host_keys=(node.host_key,),
            )
            for name, node in self.nodes.items()
        }

    def station(self, folder: Path, register: Register) -> list[str]:
        """Write inventory and register as a station has them; return the options naming them."""
        lines = []
        for name, node in self.nodes.items():
            register.record_host_key(name, node.host_key, "confirmed")
            lines.append(f"[site_{name}]\n{name} ansible_host={self.address}:{node.port}\n")
        children = "\n".join(f"site_{name}" for name in self.nodes)
        inventory = folder / "inventory.ini"
        inventory.write_text("\n".join([*lines, f"[nodes:children]\n{children}\n"]))
        return [
            f"--inventory={inventory}",
            f"--register={register.file}",
            f"--identity={self.folder / 'user'}",
            f"--audit={folder / 'audit.jsonl'}",
        ]

    def _make(self, name: str, port: int, first: Path) -> FleetNode:
        folder = self.folder / name
        for part in ("root", "etc", "var", "bin"):
            (folder / part).mkdir(parents=True)
        lay_down(first, folder / "root")
        (folder / "root/opt/simpul").rename(folder / "opt")
        (folder / "etc/release-keys.toml").write_bytes(self.signers.trust_text)
        (folder / "etc/node.toml").write_text(
            f'[node]\nname = "{name}"\n[uplink]\nbrokers = ["{self.broker}"]\n'
            "[health]\nmeasure_interval_seconds = 0.5\n"
        )
        for tool in ("node-init", "systemctl", "systemd-run"):
            shutil.copy(_INIT, folder / "bin" / tool)
            (folder / "bin" / tool).write_text(f"#!{sys.executable}\n" + _INIT.read_text())
            (folder / "bin" / tool).chmod(0o755)
        for path, text in self.layers.items():
            file = folder / path
            for each in (file.parent, folder / "usr/work"):
                each.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            file.chmod(0o755)
        host_key = self._key(f"{name}/host")
        lines = (
            f"ListenAddress {self.address}:{port}",
            f"HostKey {folder}/host",
            f"AuthorizedKeysFile {self.folder}/user.pub",
            "PidFile none",
            "UsePAM no",
            "StrictModes no",
            "PermitRootLogin prohibit-password",
            "Subsystem sftp internal-sftp",
        )
        (folder / "sshd_config").write_text("\n".join(lines) + "\n")
        return FleetNode(name, folder, port, host_key, self.address, self.within)

    def _key(self, name: str) -> str:
        file = self.folder / name
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(file)]
        subprocess.run(command, check=True)
        return file.with_name(f"{file.name}.pub").read_text().strip()
