"""Runs a machine of its own for a test: this system's files in namespaces, thrown away after.

Its own mounts, host name and processes over a layer in memory, so that real cloud-init, sudo and
sshd may do to it what they do to a node. It has no service manager; of systemctl(1) it has the two
verbs that a node's first boot and enrolment call, for the one service there is.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from services.ports import free_port, wait_for_port

_PROJECT = Path(__file__).parents[2]
# The first two configure the network as well, which must not be this machine's.
_STAGES = (
    "unshare --net cloud-init init --local",
    "unshare --net cloud-init init",
    "cloud-init modules --mode=config",
    "cloud-init modules --mode=final",
)
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SEED = "/boot/firmware"
# Of Debian's modules those that a seed of ours speaks to; locales and packages are not its matter.
_CLOUD = f"""\
datasource_list: [NoCloud]
datasource: {{NoCloud: {{seedfrom: {_SEED}/}}}}
cloud_config_modules: [set-passwords, runcmd]
cloud_final_modules: [scripts-user, ssh-authkey-fingerprints, keys-to-console, final-message]
"""
_START = """
mount --make-rprivate /
mount -t tmpfs box /mnt
mkdir /mnt/up /mnt/work /mnt/root
mount -t overlay box -o lowerdir=/,upperdir=/mnt/up,workdir=/mnt/work /mnt/root
mount -t proc proc /mnt/root/proc
mount --rbind /sys /mnt/root/sys
mount --rbind /dev /mnt/root/dev
mount -t tmpfs run /mnt/root/run
mkdir /mnt/root/run/sshd /mnt/root/run/written
mount --bind /mnt/up /mnt/root/run/written
for place in "$@"; do
    mkdir -p "/mnt/root$place"
    mount --rbind "$place" "/mnt/root$place"
done
hostname box
# Said from within: who enters before the root has changed would write to the machine's own.
exec chroot /mnt/root sh -c 'echo ready; exec sleep infinity'
"""
_SYSTEMCTL = """\
#!/bin/sh
case "$*" in
    "enable --now ssh")
        /usr/sbin/sshd -E /var/log/sshd.log
        until [ -s /run/sshd.pid ]; do sleep 0.05; done ;;
    "reload ssh") exec kill -HUP "$(cat /run/sshd.pid)" ;;
    *) echo "systemctl $*: not in this box" >&2; exit 1 ;;
esac
"""
_NODE = f"""\
#!/bin/sh
PYTHONPATH={_PROJECT} exec {sys.executable} -m node "$@"
"""


class Box:
    """One machine; its sshd is met on a port of loopback, or on the cable that `join` lays."""

    def __init__(self, *, own_network: bool = False) -> None:
        """Choose whether it shares this machine's network; nothing is started."""
        self.own_network = own_network
        self.port = 22 if own_network else free_port()
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        places = [str(_PROJECT), str(Path(sys.prefix).resolve())]
        network = ["--net"] if self.own_network else []
        self._process = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL"),  # with the test, however that ends
                *("unshare", "--mount", "--uts", "--pid", *network, "--fork", "--kill-child"),
                *("sh", "-e", "-c", _START, "box", *places),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        assert self._process.stdout.readline() == "ready\n", "the box did not start"
        self.run("rm -rf /etc/ssh/ssh_host_* /etc/cloud/cloud-init.disabled /var/lib/cloud/*")
        self.write("/usr/local/bin/systemctl", _SYSTEMCTL.encode(), mode=0o755)
        self.write("/opt/simpul/current/bin/simpul-node", _NODE.encode(), mode=0o755)
        where = "" if self.own_network else "ListenAddress 127.0.0.1\n"
        sshd = f"Port {self.port}\n{where}PidFile /run/sshd.pid\nLogLevel VERBOSE\n"
        self.write("/etc/ssh/sshd_config.d/00-box.conf", sshd.encode())
        self.write("/etc/cloud/cloud.cfg.d/99-box.cfg", _CLOUD.encode())
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process
        self._process.kill()
        self._process.communicate()

    def boot(self, seed: Mapping[str, bytes]) -> None:
        """Put the seed on the boot partition and run cloud-init as at a boot; sshd answers after.

        Raises CalledProcessError when a stage of cloud-init fails.
        """
        for name, content in seed.items():
            self.write(f"{_SEED}/{name}", content)
        for stage in _STAGES:
            self.run(stage)
        if not self.own_network:
            wait_for_port(self.port)

    def run(self, command: str, given: bytes = b"") -> bytes:
        """Run a shell command as root; return its output. Raises CalledProcessError."""
        return subprocess.run(
            [*self._enter(), "sh", "-e", "-c", command],
            check=True,
            env={**os.environ, "PATH": _PATH},
            input=given,
            stdout=subprocess.PIPE,
        ).stdout

    def read(self, file: str) -> bytes:
        """Return the content of a file."""
        return self.run(f"cat '{file}'")

    def write(self, file: str, content: bytes, *, mode: int = 0o644) -> None:
        """Write a file and the folders above it."""
        folder = os.path.dirname(file)  # noqa: PTH120 - of another root, so no Path of ours
        self.run(f"mkdir -p '{folder}'; cat > '{file}'; chmod {mode:o} '{file}'", content)

    def holding(self, words: bytes) -> set[str]:
        """Return the files written since the start that hold `words`, which are a line or less."""
        search = 'find . /run -xdev -type f -exec grep -lsFe "$(cat)" {} + || true'
        found = self.run(f"cd /run/written; {search}", words).decode().split()
        return {name.removeprefix(".") for name in found}

    def join(self, other: "Box") -> None:
        """Lay a cable (veth(4)) from `eth0` here to `eth0` there; both have IPv6 at once."""
        # Process ids of the outside, so from outside.
        here, there = str(self.pid), str(other.pid)
        subprocess.run(
            [
                *("nsenter", "--target", here, "--net", "ip", "link", "add", "eth0"),
                *("type", "veth", "peer", "name", "eth0", "netns", there),
            ],
            check=True,
        )
        for box in (self, other):
            # No wait for duplicates: there are but two on this cable.
            box.run("sysctl -qw net.ipv6.conf.eth0.accept_dad=0; ip link set lo up")
            box.run("ip link set eth0 up")

    @property
    def pid(self) -> int:
        """Process id, outside, of the box's first process."""
        assert self._process
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return int(children.read_text().split()[0])

    def _enter(self) -> list[str]:
        network = ["--net"] if self.own_network else []
        places = ("--mount", "--uts", "--pid", *network, "--root", "--wd", "--")
        return ["nsenter", "--target", str(self.pid), *places]


def box_missing() -> bool:
    """Tell whether a box cannot run here: not root, or its programs are not installed."""
    programs = ("unshare", "nsenter", "ip", "cloud-init", "sudo", "avahi-daemon")
    installed = all(map(shutil.which, programs)) and shutil.which("sshd", path="/usr/sbin")
    return os.geteuid() != 0 or not installed
