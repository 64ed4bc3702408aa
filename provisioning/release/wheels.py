"""Gathers what a release imports, as wheels for another machine: nothing is run or compiled."""

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from provisioning.release.errors import BuildError

# colorzero asks for setuptools but imports nothing of it; seven megabytes that no node needs.
_UNUSED = ("setuptools",)
# Any glibc of Debian 12 (2.36) and newer.
_PLATFORM = "{}-manylinux_2_36"
_TIMEOUT_S = 900


def install_dependencies(
    source: Path, site: Path, *, platform: str, python: str, extras: Sequence[str]
) -> None:
    """Unpack the locked dependencies for `platform` and `python` into `site`.

    Versions and hashes come from uv.lock in `source`; the index is the machine's own choice. Raises
    BuildError, naming the package, where one has no wheel for that platform.
    """
    with tempfile.TemporaryDirectory(prefix="simpul-release-") as room:
        listed = Path(room) / "requirements.txt"
        export = ["export", "--quiet", "--frozen", "--no-dev", "--no-emit-project"]
        export += [f"--extra={each}" for each in extras]
        export += [f"--no-emit-package={each}" for each in _UNUSED]
        _uv([*export, "--format=requirements-txt", f"--output-file={listed}"], source)
        install = ["pip", "install", "--quiet", "--no-deps", "--target", str(site)]
        install += ["--python-platform", _PLATFORM.format(platform), "--python-version", python]
        install += ["--require-hashes", "--only-binary=:all:", "--no-compile-bytecode"]
        # Copied: a hard link into uv's cache would let the release change the cache.
        _uv([*install, "--link-mode=copy", "-r", str(listed)], source)


def build_wheel(source: Path, room: Path) -> Path:
    """Build the project's wheel in `room`. Raises BuildError."""
    _uv(["build", "--quiet", "--wheel", "--out-dir", str(room), str(source)], source)
    (wheel,) = room.glob("*.whl")
    return wheel


def install_agent(wheel: Path, site: Path) -> None:
    """Unpack the agent's own package out of the project's `wheel` into `site`."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith("node/"):
                archive.extract(name, site)
            elif name.endswith(".dist-info/METADATA"):
                file = site / name
                file.parent.mkdir()
                # Only what asks for the version reads it; the README would be shipped for nothing.
                file.write_bytes(archive.read(name).partition(b"\n\n")[0] + b"\n")


def prune(site: Path) -> None:
    """Remove what differs between building machines, and what a node never imports."""
    shutil.rmtree(site / "bin", ignore_errors=True)
    for file in [*site.rglob("*")]:
        parts = file.relative_to(site).parts
        if not file.is_file():
            continue
        by_installer = parts[0].endswith(".dist-info") and parts[1] in {
            "RECORD",  # lists scripts with this machine's path in them
            "INSTALLER",
            "REQUESTED",
            "direct_url.json",
            "uv_cache.json",
        }
        unused = "tests" in parts or "__pycache__" in parts or file.suffix in {".pyi", ".a", ".h"}
        if by_installer or unused or file.name == ".lock":
            file.unlink()


def _uv(arguments: list[str], source: Path) -> None:
    beside = Path(sys.executable).with_name("uv")
    program = str(beside) if beside.exists() else shutil.which("uv")
    if program is None:
        raise BuildError("uv is not installed; `pip install uv`")
    try:
        done = subprocess.run(
            [program, *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd=source,
            timeout=_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"uv {arguments[0]}: {error}") from error
    if done.returncode:
        said = re.sub(r"\x1b\[[0-9;]*m", "", done.stderr).strip()
        raise BuildError(f"uv {arguments[0]} failed:\n{said[-2000:]}")
