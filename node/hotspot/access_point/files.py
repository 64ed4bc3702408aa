"""Writes the access point's files: rendered from the settings, checked, then put in place."""

import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import msgspec

from node.errors import AccessPointError, SettingsError
from node.hotspot.access_point import tools
from node.hotspot.access_point.dnsmasq import render_dnsmasq
from node.hotspot.access_point.hostapd import render_hostapd
from node.hotspot.access_point.nftables import render_nftables
from node.hotspot.access_point.plan import access_point_contradictions
from node.settings import Hotspot


@dataclass(frozen=True, slots=True)
class Rendered:
    """One kind of file."""

    name: str
    render: Callable[[Hotspot], str]
    check: Callable[[Path], None] | None = None
    """Asks the program that will read it; raises AccessPointError."""
    check_interface: str = ""
    """The file is checked as written for this interface; empty: for its own."""


def render_environment(hotspot: Hotspot) -> str:
    """Return what the units need to know, as an EnvironmentFile of systemd.exec(5)."""
    return f"INTERFACE={hotspot.interface}\nADDRESS={hotspot.address}\n"


FILES = (
    Rendered("nftables.conf", render_nftables, tools.check_nftables),
    Rendered("dnsmasq.conf", render_dnsmasq, tools.check_dnsmasq),
    Rendered("hostapd.conf", render_hostapd, tools.check_hostapd, tools.CHECK_INTERFACE),
    Rendered("environment", render_environment),
)


def render(
    hotspot: Hotspot,
    directory: Path,
    *,
    replacing: Callable[[Collection[str]], None] = lambda _: None,
) -> list[str]:
    """Write every file that differs into `directory`; return their names.

    All are checked before the first is replaced, so that one bad file changes nothing; `replacing`
    is told their names just before. Without an ssid the files are removed. Raises SettingsError for
    contradictions, AccessPointError when a program refuses its file or the directory cannot be
    written.
    """
    if problems := access_point_contradictions(hotspot):
        raise SettingsError("\n".join(problems))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not hotspot.ssid:
            gone = [each.name for each in FILES if (directory / each.name).exists()]
            replacing(gone)
            for name in gone:
                (directory / name).unlink()
            return gone
        with tempfile.TemporaryDirectory(prefix=".new-", dir=directory) as temporary:
            new = Path(temporary)
            changed = [each for each in FILES if _prepare(each, hotspot, directory, new)]
            replacing([each.name for each in changed])
            for each in changed:
                (new / each.name).replace(directory / each.name)
    except OSError as error:
        raise AccessPointError(f"{directory}: cannot be written: {error.strerror}") from error
    return [each.name for each in changed]


def _prepare(each: Rendered, hotspot: Hotspot, directory: Path, temporary: Path) -> bool:
    """Write and check one file; tell whether it differs from the one in place."""
    text = each.render(hotspot)
    file = temporary / each.name
    if each.check is not None:
        to_check = msgspec.structs.replace(
            hotspot, interface=each.check_interface or hotspot.interface
        )
        _write(file, each.render(to_check))
        each.check(file)
    _write(file, text)
    in_place = directory / each.name
    return not in_place.exists() or in_place.read_text() != text


def _write(file: Path, text: str) -> None:
    """Write a file that every program's own user may read: an open network has no secret."""
    file.write_text(text)
    file.chmod(0o644)  # whatever the umask is
