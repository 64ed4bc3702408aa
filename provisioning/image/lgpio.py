"""Builds lgpio for a node's Python where neither Debian nor its author has it ready.

gpiozero reaches the lines of the header through lgpio. Its author's wheels end at Python 3.12 and
Debian 13 packages only the C library, so the locked source distribution is compiled here, in a
root of its own with Debian's compiler: the cross compiler, unless this machine is arm64 itself.
What was built stays in the cache.
"""

import hashlib
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from provisioning.image.emulation import is_arm64
from provisioning.image.errors import BuildError, ToolError

_SUITE = "trixie"
_CROSS = ("gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "swig")
_NATIVE = ("gcc", "libc6-dev", "swig")  # its program answers to the cross compiler's name, too
# Python's headers of the node's architecture are unpacked only: nothing of arm64 is run.
_SCRIPT = """\
set -e
cd /build
apt-get download -qq -o APT::Sandbox::User=root libpython{python}-dev:arm64
dpkg-deb -x libpython{python}-dev_*.deb headers
cd source
swig -python -o lgpio_wrap.c lgpio.i
aarch64-linux-gnu-gcc -shared -fPIC -O2 -g0 -pthread -ffile-prefix-map=/build=. \\
    -Wl,--build-id=none -Isrc -I../headers/usr/include/python{python} -I../headers/usr/include \\
    lgpio_wrap.c src/lg*.c src/rgpiod.c -o {module} -lrt -ldl
aarch64-linux-gnu-strip {module}
"""


class Pin(Struct, frozen=True):
    """What uv.lock says of the source distribution."""

    version: str
    sha256: str


def locked_pin(lock: Path) -> Pin:
    """Return the source distribution that uv.lock names. Raises BuildError."""
    try:
        packages = tomllib.loads(lock.read_text("utf-8"))["package"]
        (found,) = (each for each in packages if each["name"] == "lgpio")
        return Pin(found["version"], found["sdist"]["hash"].removeprefix("sha256:"))
    except (OSError, ValueError, KeyError) as error:
        raise BuildError(f"{lock}: no source distribution of lgpio: {error}") from error


def lgpio_files(lock: Path, python: str, cache: Path) -> tuple[Path, str]:
    """Return a folder with lgpio's files for arm64 and `python`, and what names their content.

    Built when the cache has none, within two minutes. Raises BuildError, ToolError.
    """
    pin = locked_pin(lock)
    script = _SCRIPT.format(python=python, module=_module(python))
    asked = "\n".join((pin.version, pin.sha256, python, _SUITE, *_packages(), script))
    key = hashlib.sha256(asked.encode()).hexdigest()[:24]
    folder = cache / f"lgpio-{key}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="lgpio-", dir=cache) as name:
            room = Path(name)
            source = _source(pin, room)
            made = room / "made"
            made.mkdir()
            _build(source, script, made, python)
            made.rename(folder)
    return folder, key


def _packages() -> Sequence[str]:
    return _NATIVE if is_arm64() else _CROSS


def _module(python: str) -> str:
    return f"_lgpio.cpython-{python.replace('.', '')}-aarch64-linux-gnu.so"


def _source(pin: Pin, room: Path) -> Path:
    """Fetch the source distribution from the machine's own index, and unpack it."""
    listed = room / "requirements.txt"
    listed.write_text(f"lgpio=={pin.version} --hash=sha256:{pin.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:"]
    _run([*command, "--require-hashes", f"--dest={room}", f"--requirement={listed}"])
    (archive,) = room.glob("lgpio-*.tar.gz")
    unpacked = room / "unpacked"
    unpacked.mkdir()
    _run(["tar", "--extract", "--no-same-owner", f"--file={archive}", f"--directory={unpacked}"])
    (source,) = unpacked.iterdir()
    return source.rename(room / "source")


def _build(source: Path, script: str, made: Path, python: str) -> None:
    steps = made.parent / "build.sh"
    steps.write_text(script)
    command = ["mmdebstrap", "--quiet", "--variant=apt"]
    command.append(f"--architectures={'arm64' if is_arm64() else 'amd64,arm64'}")
    # Its own verbs copy as the user who builds; commands run as another, who may not read here.
    hooks = [
        'mkdir "$1/build"',
        f"copy-in {source} {steps} /build",
        'chroot "$1" sh /build/build.sh',
        f"copy-out /build/source/lgpio.py /build/source/{_module(python)} {made}",
    ]
    command.append(f"--include={','.join(_packages())}")
    command += [f"--customize-hook={hook}" for hook in hooks]
    _run([*command, _SUITE, "/dev/null"])


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise ToolError(f"{command[0]} is missing: see docs/how-to/build-an-image.md") from error
    if done.returncode:
        raise BuildError(f"lgpio cannot be built: {done.stderr.strip()[-2000:]}")
