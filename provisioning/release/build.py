"""Builds releases for other machines, bit by bit the same wherever they are built.

A release is a tree shaped as a virtual environment: `bin/python` is the node's own interpreter, so
that picamera2 and libcamera come from its packages.
"""

import subprocess
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from node.install.manifest import Manifest
from provisioning.release.bytecode import compile_tree
from provisioning.release.errors import BuildError
from provisioning.release.pack import pack_tree
from provisioning.release.wheels import build_wheel, install_agent, install_dependencies, prune

_LAUNCHER = """\
#!/bin/sh
# Runs the agent of the release this file lies in, not one of the folder that it is called in;
# writes nothing into it.
exec "$(dirname "$(readlink -f "$0")")/python" -P -B -m node "$@"
"""
VENV = "home = /usr/bin\ninclude-system-site-packages = true\nversion = {}\n"
_GIT_TIMEOUT_S = 30


class Target(Struct, frozen=True, order=True):
    """A kind of node: its processor and the Python of its Debian release (trixie: 3.13)."""

    platform: Literal["aarch64", "x86_64"]
    python: str


class Built(Struct, frozen=True):
    """A finished release: its hash, the bundle's file and sizes in bytes."""

    release: str
    bundle: Path
    target: Target
    unpacked_bytes: int
    bundle_bytes: int


class Recipe(Struct, frozen=True, kw_only=True):
    """What goes into a release besides the agent itself.

    `video`: PyAV for RTSP and USB cameras, two thirds of all bytes; nodes with Debian's python3-av
    or a Raspberry Pi camera need none. `bytecode`: compiled here, so that a node's first start need
    not; the target's Python version must then be installed.
    """

    counter: int
    version: str
    video: bool = True
    bytecode: bool = False


TARGETS = tuple(
    Target(platform, python)
    for platform in ("aarch64", "x86_64")
    for python in ("3.11", "3.12", "3.13")
)


def build_release(
    output: Path, recipe: Recipe, targets: Sequence[Target], source: Path
) -> list[Built]:
    """Build an unsigned bundle for each of `targets` into `output` from the tree in `source`.

    Raises BuildError.
    """
    if not (source / "uv.lock").is_file():
        raise BuildError(f"{source}: no uv.lock; build releases from the project's source tree")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BuildError(f"{output}: {error.strerror}; choose another folder") from error
    with tempfile.TemporaryDirectory(prefix="simpul-release-") as room:
        wheel = build_wheel(source, Path(room))
        return [_build_one(output, source, wheel, target, recipe) for target in targets]


def _build_one(output: Path, source: Path, wheel: Path, target: Target, recipe: Recipe) -> Built:
    empty = Manifest(
        version=recipe.version,
        counter=recipe.counter,
        platform=target.platform,
        python=target.python,
        files=(),
    )
    extras = ("node", "board", *(("video",) if recipe.video else ()))
    with tempfile.TemporaryDirectory(prefix="simpul-release-") as name:
        tree = Path(name)
        site = tree / f"lib/python{target.python}/site-packages"
        site.mkdir(parents=True)
        install_dependencies(
            source, site, platform=target.platform, python=target.python, extras=extras
        )
        install_agent(wheel, site)
        prune(site)
        if recipe.bytecode:
            compile_tree(site, python=target.python)
        (tree / "pyvenv.cfg").write_text(VENV.format(target.python))
        (tree / "bin").mkdir()
        (tree / "bin/simpul-node").write_text(_LAUNCHER)
        (tree / "bin/simpul-node").chmod(0o755)
        packed = pack_tree(tree, output, empty)
    size_bytes = packed.bundle.stat().st_size
    return Built(packed.release, packed.bundle, target, packed.unpacked_bytes, size_bytes)


def parse_target(text: str) -> Target:
    """Return the target that `aarch64/3.13` names. Raises BuildError."""
    for target in TARGETS:
        if text == f"{target.platform}/{target.python}":
            return target
    known = ", ".join(f"{each.platform}/{each.python}" for each in TARGETS)
    raise BuildError(f"{text!r} is no target; choose from {known}, or all")


def version_of(source: Path) -> str:
    """Return the project's version. Raises BuildError."""
    try:
        return str(tomllib.loads((source / "pyproject.toml").read_text())["project"]["version"])
    except (OSError, ValueError, KeyError) as error:
        raise BuildError(f"{source / 'pyproject.toml'}: no version: {error}") from error


def counter_of(source: Path) -> int:
    """Return how many commits led to this tree: it only ever rises. Raises BuildError."""
    if _git(source, "rev-parse", "--is-shallow-repository") == "true":
        raise BuildError(
            f"{source}: a shallow clone, in which git counts too few commits; name a --counter, or "
            "fetch the rest: git fetch --unshallow"
        )
    return int(_git(source, "rev-list", "--count", "HEAD"))


def _git(source: Path, *words: str) -> str:
    command = ["git", "-C", str(source), *words]
    try:
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=_GIT_TIMEOUT_S
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise BuildError(f"{source}: git counts no commits here; name a --counter") from error
    return done.stdout.strip()
