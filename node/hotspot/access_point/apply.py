"""Brings changed settings into the running access point, disturbing as little as possible."""

import subprocess
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

from node.durable import replace_file
from node.errors import AccessPointError
from node.hotspot.access_point.files import render
from node.settings import Hotspot

DIRECTORY = Path("/run/simpul-hotspot")
"""Where the units read their files; the unit simpul-hotspot-config writes them at boot."""

TARGET = "simpul-hotspot.target"
_UNITS = {
    "nftables.conf": ("simpul-hotspot-firewall.service",),
    "dnsmasq.conf": ("simpul-hotspot-dnsmasq.service",),
    "hostapd.conf": ("simpul-hotspot-hostapd.service",),
    "environment": ("simpul-hotspot-hostapd.service", "simpul-hotspot-dnsmasq.service"),
}
_PENDING = ".pending"
"""Names the files that are new and that no unit has been told of, one a line."""


def apply(
    hotspot: Hotspot,
    *,
    directory: Path = DIRECTORY,
    systemctl: Callable[[Sequence[str]], None] | None = None,
) -> list[str]:
    """Render into `directory` and restart what reads a changed file; return what was done.

    The firewall is replaced in one transaction and drops nobody; hostapd is restarted only when its
    own file changed. What a failure or a killed call left undone is done by the next. Raises
    SettingsError, AccessPointError.
    """
    systemctl = systemctl or _systemctl
    render(hotspot, directory, replacing=partial(_note, directory))
    changed = _noted(directory)
    if not hotspot.ssid:
        systemctl(["stop", TARGET])
        _forget(directory)
        return [f"stopped {TARGET}: hotspot.ssid is empty"]
    units = sorted({unit for name in changed for unit in _UNITS[name]})
    if units:
        systemctl(["try-reload-or-restart", *units])
    systemctl(["start", TARGET])
    _forget(directory)
    return [f"{directory / name}: new" for name in changed] + [f"restarted {u}" for u in units]


def _noted(directory: Path) -> list[str]:
    try:
        names = (directory / _PENDING).read_text().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise AccessPointError(f"{directory}: cannot be read: {error.strerror}") from error
    return [name for name in _UNITS if name in names]


def _note(directory: Path, names: Collection[str]) -> None:
    """Note files that are about to be replaced, beside those that were noted before."""
    noted = {*_noted(directory), *names}
    if noted:
        replace_file(directory / _PENDING, "\n".join(noted).encode())


def _forget(directory: Path) -> None:
    try:
        (directory / _PENDING).unlink(missing_ok=True)
    except OSError as error:
        raise AccessPointError(f"{directory}: cannot be written: {error.strerror}") from error


def _systemctl(words: Sequence[str]) -> None:
    done = subprocess.run(
        ["/usr/bin/systemctl", *words], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise AccessPointError(
            f"systemctl {' '.join(words)}: {done.stderr.strip()}; see journalctl -u {TARGET}"
        )
