"""Tells before anything is flipped whether a release fits this node: machine, Python, settings."""

import grp
import os
import platform
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

from node.errors import SettingsError
from node.install.errors import BundleError, UnfitError
from node.install.manifest import Manifest
from node.install.places import Places
from node.settings_file import load_settings

_USER = "simpul"
_CHECK_TIMEOUT_S = 60


def check_machine(manifest: Manifest) -> None:
    """Return when the release is for this processor and a Python that is here.

    Raises BundleError.
    """
    if manifest.platform != platform.machine():
        raise BundleError(
            f"the release is for {manifest.platform}, this node is {platform.machine()}; "
            "choose the bundle made for it"
        )
    if not Path(f"/usr/bin/python{manifest.python}").exists():
        raise BundleError(
            f"the release needs /usr/bin/python{manifest.python}, which this node has not; "
            "choose the bundle made for its Python"
        )


def check_settings(release: Path, places: Places) -> None:
    """Let the new release itself check the node's settings, as the agent's user.

    A node without settings, such as an image, is not asked. Raises UnfitError with its words.
    """
    if not places.settings.exists():
        return
    command = [str(release / "bin/simpul-node"), "check", str(places.settings)]
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=_CHECK_TIMEOUT_S,
            **_as_agent(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnfitError(f"release {release.name[:16]} does not run here: {error}") from error
    if done.returncode:
        said = done.stderr.strip()[-2000:]
        raise UnfitError(
            f"release {release.name[:16]} refuses this node's settings; nothing changed:\n{said}"
        )


def outbox_of(places: Places) -> Path:
    """Return the file of the agent's outbox; what is no file when the settings do not tell."""
    try:
        return Path(load_settings(places.settings).node.state_directory) / "outbox.db"
    except SettingsError:
        return Path(os.devnull)


def python_of(places: Places) -> str:
    """Return the Python that the current release runs on, such as 3.13; else this one's."""
    interpreter = places.current / "bin/python"
    target = interpreter.readlink().name if interpreter.is_symlink() else ""
    return target.removeprefix("python") or f"{sys.version_info.major}.{sys.version_info.minor}"


def _as_agent() -> dict[str, Any]:
    """Return how a process is run as the agent's user; as oneself where there is none."""
    try:
        user = pwd.getpwnam(_USER)
    except KeyError:
        return {}
    if os.geteuid() != 0:
        return {}
    groups = [each.gr_gid for each in grp.getgrall() if _USER in each.gr_mem]
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": groups}
