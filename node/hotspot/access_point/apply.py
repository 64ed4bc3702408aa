"""Brings changed settings into the running access point, disturbing as little as possible."""

import subprocess
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from node.durable import fsync_directory, replace_file
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
    with _noting(directory):
        render(hotspot, directory)
    changed = _noted(directory)
    if not hotspot.ssid:
        systemctl(["stop", TARGET])
        _note(directory, ())
        return [f"stopped {TARGET}: hotspot.ssid is empty"]
    units = sorted({unit for name in changed for unit in _UNITS[name]})
    if units:
        systemctl(["try-reload-or-restart", *units])
    systemctl(["start", TARGET])
    _note(directory, ())
    return [f"{directory / name}: new" for name in changed] + [f"restarted {u}" for u in units]


@contextmanager
def _noting(directory: Path) -> Iterator[None]:
    """Note which files are replaced meanwhile, beside those that were noted before.

    Until that is known it may be any of them: whoever is killed in between leaves them all noted.
    """
    earlier, before = _noted(directory), _texts(directory)
    _note(directory, _UNITS)
    try:
        yield
    finally:
        now = _texts(directory)
        _note(directory, [name for name in _UNITS if name in earlier or now[name] != before[name]])


def _texts(directory: Path) -> dict[str, str | None]:
    return {name: _text(directory / name) for name in _UNITS}


def _text(file: Path) -> str | None:
    try:
        return file.read_text()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AccessPointError(f"{file}: cannot be read: {error.strerror}") from error


def _noted(directory: Path) -> list[str]:
    names = (_text(directory / _PENDING) or "").splitlines()
    return [name for name in _UNITS if name in names]


def _note(directory: Path, names: Collection[str]) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if names:
            replace_file(directory / _PENDING, "\n".join(names).encode())
            return
        (directory / _PENDING).unlink(missing_ok=True)
        fsync_directory(directory)
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
