"""Lends an arm64 root programs of this machine's own kind while it is being set up.

Maintainer scripts start thousands of small processes, and byte-compile all of Python; under
emulation that costs ten times its work. A program for the machine's own processor needs no
emulation wherever it lies, so those that scripts call most take the place of the root's own until
the layer is done. They are of the same archive and so of the same version, and only such whose
answer does not depend on the processor (no uname, no dpkg but for unpacking) and which no initramfs
is made of (no kmod).

What dpkg itself unpacks meanwhile goes beside them, by diversions (dpkg-divert(1)).
"""

import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from shlex import quote

import msgspec

from provisioning.image.archive import (
    fetch_packages,
    open_archives,
    package_files,
    resolve_packages,
)
from provisioning.image.definition import Flavour
from provisioning.image.errors import BuildError

_FURTHER_PACKAGES = ("cpio", "mawk", "openssh-client", "udev", "xz-utils", "zstd")
"""Beside the essential ones."""
_PROGRAMS = (
    *("bash", "dash", "perl", "sed", "grep", "find", "xargs", "mawk", "getopt", "getent"),
    *("basename", "cat", "chmod", "chown", "cp", "cut", "dirname", "env", "expr", "head", "id"),
    *("ln", "ls", "mkdir", "mktemp", "mv", "readlink", "realpath", "rm", "rmdir", "sort", "stat"),
    *("tail", "touch", "tr", "uniq", "wc"),
    *("cpio", "gzip", "tar", "xz", "zstd"),
    *("dpkg-deb", "dpkg-split", "update-alternatives"),
)
"""Lent where the root has its own."""
_BEFOREHAND = ("ssh-keygen", "systemd-hwdb")
"""Lent, as Python is, before the root has its own: scripts call them once they are unpacked."""
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_LOADER = "usr/lib64"
"""Neither is in an arm64 root of its own."""
_LINK = "lib64"
"""The loader's folder as programs name it; base-files wants it to be a link."""
_OWN = ".own"


def needs_loan() -> bool:
    """Tell whether the root's programs are emulated here, and native ones can be had."""
    return platform.machine() == "x86_64"


def gather(
    flavour: Flavour,
    room: Path,
    into: Path,
    mirrors: Mapping[str, str],
    keyrings: Mapping[str, str],
) -> Path:
    """Unpack what is lent of Debian's archives below `into`, and return it.

    What is fetched stays in `room`. Raises ArchiveError, BuildError.
    """
    debian = tuple(each for each in flavour.sources if each.origin == "Debian")
    source = msgspec.structs.replace(flavour, sources=debian)
    archives = open_archives(source, room, mirrors, keyrings, architecture="amd64")
    names = [*_FURTHER_PACKAGES, f"python{flavour.python}-minimal"]
    fetch_packages(archives, names)
    for package in package_files(archives, resolve_packages(archives, names)):
        _unpack(package, into)
    # udev's hook puts every libkmod that it finds into the initramfs; nothing lent here needs it.
    for library in (into / _LIBRARIES).glob("libkmod.so*"):
        library.unlink()
    return into


def _unpack(package: Path, into: Path) -> None:
    done = subprocess.run(
        ["dpkg-deb", "--extract", str(package), str(into)],  # noqa: S607 - from PATH
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BuildError(f"{package}: {done.stderr.strip()}")


def lend(native: Path, python: str) -> str:
    """Return a hook of mmdebstrap that puts the programs in `native` into the root "$1"."""
    own = f'"$1/usr/bin/$name{_OWN}"'
    return f"""
set -eu
mkdir -p "$1/{_LIBRARIES}" "$1/{_LOADER}"
cp -a {quote(str(native / _LIBRARIES))}/. "$1/{_LIBRARIES}/"
cp -a {quote(str(native / _LOADER))}/. "$1/{_LOADER}/"
ln -s {_LOADER} "$1/{_LINK}"
for name in {" ".join(_PROGRAMS)} {" ".join(_beforehand(python))}; do
    if [ -e "$1/usr/bin/$name" ]; then
        mv "$1/usr/bin/$name" {own}
    else
        case " {" ".join(_beforehand(python))} " in *" $name "*) ;; *) continue ;; esac
    fi
    cp {quote(str(native / "usr/bin"))}/$name "$1/usr/bin/$name"
    printf '/usr/bin/%s\\n/usr/bin/%s{_OWN}\\n:\\n' $name $name >> "$1/var/lib/dpkg/diversions"
done
"""


def take_back(python: str) -> str:
    """Return a hook that leaves the root "$1" with nothing but its own."""
    return f"""
set -eu
for name in {" ".join(_PROGRAMS)} {" ".join(_beforehand(python))}; do
    sed -i "\\\\#^/usr/bin/$name\\$#,+2d" "$1/var/lib/dpkg/diversions"
    if [ -e "$1/usr/bin/$name{_OWN}" ]; then
        mv "$1/usr/bin/$name{_OWN}" "$1/usr/bin/$name"
    else
        case " {" ".join(_beforehand(python))} " in *" $name "*) rm -f "$1/usr/bin/$name" ;; esac
    fi
done
rm -r "$1/{_LIBRARIES}" "$1/{_LOADER}" "$1/{_LINK}"
"""


def _beforehand(python: str) -> tuple[str, ...]:
    return (*_BEFOREHAND, f"python{python}")
