"""Has each program check its own file, before that file replaces one that works."""

import os
import shutil
import subprocess
from pathlib import Path

from node.errors import AccessPointError

CHECK_INTERFACE = "simpul-check0"
"""hostapd cannot only check: it is given an interface that nobody has, and stops there."""

_TIMEOUT_SECONDS = 60.0
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def check_hostapd(file: Path) -> None:
    """Return when hostapd understands `file`, written for CHECK_INTERFACE.

    Raises AccessPointError with hostapd's own words.
    """
    _, said = _run("hostapd", str(file))
    if f"{CHECK_INTERFACE}: " not in said or "errors found in configuration file" in said:
        raise AccessPointError(f"hostapd refuses its configuration: {_brief(said, file)}")


def check_dnsmasq(file: Path) -> None:
    """Return when dnsmasq understands `file`. Raises AccessPointError with its words."""
    status, said = _run("dnsmasq", "--test", f"--conf-file={file}")
    if status != 0:
        raise AccessPointError(f"dnsmasq refuses its configuration: {_brief(said, file)}")


def check_nftables(file: Path) -> None:
    """Return when nft and the kernel would take `file`. Raises AccessPointError; needs root."""
    status, said = _run("nft", "--check", "--file", str(file))
    if status != 0:
        hint = "" if os.geteuid() == 0 else " (nft asks the kernel: run this as root)"
        raise AccessPointError(f"nft refuses the firewall{hint}: {_brief(said, file)}")


def _run(program: str, *arguments: str) -> tuple[int, str]:
    path = shutil.which(program, path=_PATH)
    if path is None:
        raise AccessPointError(f"{program} is not installed; apt install hostapd dnsmasq nftables")
    try:
        done = subprocess.run(
            [path, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise AccessPointError(f"{program} did not end its check in {error.timeout:g} s") from error
    return done.returncode, done.stdout


def _brief(said: str, file: Path) -> str:
    """Return the first lines of what a program said, with the file's lasting name."""
    lines = [line.strip() for line in said.replace(str(file), file.name).splitlines()]
    return "; ".join(filter(None, lines))[:500] or "it says nothing"
