"""Makes a stock Debian 13 root with the packages of a hub and a node, for systems in namespaces.

It is kept in the cache, named by what went into it. The packages are there beforehand, so that a
playbook finds them and needs no network.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

_NODE_PACKAGES = (
    *("ca-certificates", "dbus", "iproute2", "kmod", "openssh-server", "openssl", "procps"),
    *("python3", "python3-apt", "sudo", "systemd-sysv", "systemd-timesyncd", "tzdata"),
)
_PACKAGES = (
    *_NODE_PACKAGES,
    *("mosquitto", "mosquitto-clients", "nginx-light", "postgresql", "curl"),
    *("dnsmasq-base", "hostapd", "iw", "nftables"),
    *("wireguard-go", "wireguard-tools"),
)


def why_no_server() -> str:
    """Return why no root can be made here; empty when one can."""
    return "" if shutil.which("mmdebstrap") else "mmdebstrap is not installed"


def server_root() -> Path:
    """Return the root, made within two minutes when the cache has none.

    Raises subprocess.CalledProcessError when a package cannot be had.
    """
    return _root(_PACKAGES)


def node_root() -> Path:
    """Return such a root with what a node without a hotspot needs, and nothing of a hub."""
    return _root(_NODE_PACKAGES)


def _root(packages: Sequence[str]) -> Path:
    named = hashlib.sha256("\n".join(packages).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "simpul"
    folder = cache / f"server-{named}"
    if folder.exists():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        root = Path(temporary) / "root"
        command = ["mmdebstrap", "--quiet", "--variant=apt", f"--include={','.join(packages)}"]
        command += ["--dpkgopt=path-exclude=/usr/share/doc/*", "--aptopt=Acquire::Languages none"]
        subprocess.run([*command, "trixie", str(root)], check=True, capture_output=True, text=True)
        root.rename(folder)
    return folder
