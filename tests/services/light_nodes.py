"""Makes nodes so light that hundreds run on one machine: one copy of the code, a stand-in as agent.

Everything that sets a node up is real: its system, its sshd, the installer, enrolment and the
check of its settings. Of its release it has a start of its own alone; the code behind it is shown
to all nodes from one folder, so that memory and disk hold it once.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from services.namespaced import NamespacedSystem
from services.node_fleet import LIGHT
from services.provisioned import Station
from services.releases import small_bundle

_ROOT = Path(__file__).parents[2]
_UNPACK = _ROOT / "playbooks/roles/release/files/unpack.py"
_PYTHON = "3.13"
_SHOWN = "/opt/simpul-shared"
_PROGRAM = f"""#!/bin/sh
# Release {{number}}
{LIGHT}
exec {_SHOWN}/release/bin/python -P -B -m node "$@"
"""
# What a node of a board does not miss: its own logins, and timers that would all wake at once.
_OFF = (
    "systemd-logind.service getty.target apt-daily.timer apt-daily-upgrade.timer"
    " dpkg-db-backup.timer e2scrub_all.timer fstrim.timer systemd-tmpfiles-clean.timer"
)


def fill(shared: Path, station: Station, node: NamespacedSystem) -> None:
    """Unpack the station's release for all nodes, and have one of them compile it."""
    (bundle,) = station.folder.glob("releases/simpul-hub-*.bundle")
    subprocess.run([sys.executable, str(_UNPACK), str(bundle), str(shared / "release")], check=True)
    # Some packages carry sources for other versions of Python, which do not compile.
    node.run("python3", "-m", "compileall", "-q", f"{_SHOWN}/release/lib", check=False)


def prepare(shared: Path) -> str:
    """Word what a node's system is given beside the station's own: sh, in the root's folder."""
    return f"""
mkdir -p {_SHOWN[1:]}
mount --bind {shared} {_SHOWN[1:]}
for unit in {_OFF}; do ln -sf /dev/null etc/systemd/system/$unit; done
"""


def light_release(station: Station, counter: int) -> Path:
    """Put a node's release into the station's folder, in place of one that is whole."""
    releases = station.folder / "releases"
    text = _PROGRAM.format(number=counter).encode()
    for each in releases.glob("simpul-0*.bundle"):
        each.unlink()
    room = releases / "light"
    room.mkdir(exist_ok=True)
    bundle = small_bundle(
        room,
        {"bin/simpul-node": text},
        counter=counter,
        signers=station.signers.keys[:2],
        python=_PYTHON,
        machine="x86_64",
    )
    return Path(shutil.copy(bundle, releases / bundle.name))
