"""Builds releases of the hub: collector and page, and the installer that nodes have as well."""

import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from node.install.manifest import Manifest
from provisioning.release.build import VENV, Built, Target
from provisioning.release.pack import pack_tree
from provisioning.release.wheels import build_wheel, install_agent, install_dependencies, prune

_LAUNCHER = """\
#!/bin/sh
# Runs the {0} of the release this file lies in; writes nothing into it.
exec "$(dirname "$(readlink -f "$0")")/python" -P -B -m {0} "$@"
"""


def build_hub_release(
    output: Path,
    target: Target,
    source: Path,
    *,
    counter: int,
    version: str,
    extras: Sequence[str] = ("hub",),
) -> Built:
    """Build an unsigned bundle of the hub for `target` into `output`, named simpul-hub-....

    With the extras of a node as well, one release serves both on one machine. Raises BuildError.
    """
    empty = Manifest(
        version=version, counter=counter, platform=target.platform, python=target.python, files=()
    )
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="simpul-release-") as name:
        tree, room = Path(name) / "tree", Path(name)
        site = tree / f"lib/python{target.python}/site-packages"
        site.mkdir(parents=True)
        install_dependencies(
            source, site, platform=target.platform, python=target.python, extras=extras
        )
        wheel = build_wheel(source, room)
        install_agent(wheel, site)
        _install_hub(wheel, site)
        prune(site)
        (tree / "pyvenv.cfg").write_text(VENV.format(target.python))
        (tree / "bin").mkdir()
        for part in ("node", "hub"):
            program = tree / f"bin/simpul-{part}"
            program.write_text(_LAUNCHER.format(part))
            program.chmod(0o755)
        packed = pack_tree(tree, output, empty, name="simpul-hub")
    size_bytes = packed.bundle.stat().st_size
    return Built(packed.release, packed.bundle, target, packed.unpacked_bytes, size_bytes)


def _install_hub(wheel: Path, site: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith("hub/"):
                archive.extract(name, site)
