"""Brings changed settings into the running access point, disturbing as little as possible."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

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


def apply(
    hotspot: Hotspot,
    *,
    directory: Path = DIRECTORY,
    systemctl: Callable[[Sequence[str]], None] | None = None,
) -> list[str]:
    """Render into `directory` and restart what reads a changed file; return what was done.

    The firewall is replaced in one transaction and drops nobody; hostapd is restarted only when its
    own file changed. Raises SettingsError, AccessPointError.
    """
    systemctl = systemctl or _systemctl
    changed = render(hotspot, directory)
    if not hotspot.ssid:
        systemctl(["stop", TARGET])
        return [f"stopped {TARGET}: hotspot.ssid is empty"]
    units = sorted({unit for name in changed for unit in _UNITS[name]})
    if units:
        systemctl(["try-reload-or-restart", *units])
    systemctl(["start", TARGET])
    return [f"{directory / name}: new" for name in changed] + [f"restarted {u}" for u in units]


def _systemctl(words: Sequence[str]) -> None:
    done = subprocess.run(
        ["/usr/bin/systemctl", *words], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise AccessPointError(
            f"systemctl {' '.join(words)}: {done.stderr.strip()}; see journalctl -u {TARGET}"
        )
