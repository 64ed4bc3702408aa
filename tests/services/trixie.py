"""Makes a Debian 13 root for the guest, with what tests need that Debian 12 lacks.

libcamera's virtual camera writes into udmabuf, which the older kernel has not; a node runs Debian
13's Python, and its RAUC. It is kept in the cache, named by what went into it.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from uv import find_uv_bin

ROOT = Path(__file__).parents[2]
SITE = "/opt/simpul-site"
"""Where the locked Python packages lie in it."""
_PYTHON = "3.13"
_PACKAGES = (
    *("kmod", "python3", "python3-libcamera", "libcamera-ipa", "libcamera-tools"),
    *("python3-prctl", "libcap2", "rauc", "rauc-service", "dbus-daemon"),
)
# pidng and openexr write raw files; prctl comes from Debian. None has a wheel.
_UNUSED = ("pidng", "python-prctl", "openexr", "tqdm", "libarchive-c", "jsonschema", "pillow-heif")
# A release of the agent brings these, or picamera2 does not ask for them.
_OF_RELEASE = (
    *("av", "numpy", "simplejpeg", "hypothesis", "pytest", "pytest-timeout", "pluggy"),
    *("iniconfig", "packaging", "pygments", "sortedcontainers", "attrs", "referencing", "rpds-py"),
    "jsonschema-specifications",
)
_KERNEL = """
cd /var/cache
named=$(apt-cache depends linux-image-amd64 | grep -o 'linux-image-[0-9].*')
apt-get download -qq -o APT::Sandbox::User=root "$named"
dpkg-deb -x linux-image-*.deb /var/cache/kernel
cp -a /var/cache/kernel/boot/. /boot/
cp -a /var/cache/kernel/usr/lib/modules /usr/lib/
rm -r linux-image-*.deb kernel
depmod "$(ls /usr/lib/modules)"
"""


def why_no_trixie() -> str:
    """Return why no root can be made here; empty when one can."""
    return "" if shutil.which("mmdebstrap") else "mmdebstrap is not installed"


def trixie_root() -> Path:
    """Return the root, made within two minutes when the cache has none.

    Raises subprocess.CalledProcessError when a package cannot be had.
    """
    listed = _requirements()
    named = hashlib.sha256("\n".join((listed, _KERNEL, *_PACKAGES)).encode()).hexdigest()[:16]
    folder = _cache() / f"trixie-{named}"
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        root = Path(temporary) / "root"
        _bootstrap(root, Path(temporary) / "kernel")
        _install_site(Path(f"{root}{SITE}"), listed)
        root.rename(folder)
    return folder


def picamera2_site(folder: Path, *, platform: str) -> None:
    """Unpack picamera2, and what a release of the agent lacks of its needs, into `folder`.

    Raises subprocess.CalledProcessError when a package cannot be had.
    """
    _install_site(folder, _export("--only-group=guest", unused=_UNUSED + _OF_RELEASE), platform)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "simpul"


def _requirements() -> str:
    return _export("--extra=node", "--extra=video", "--group=guest", unused=_UNUSED)


def _export(*words: str, unused: Sequence[str]) -> str:
    command = [find_uv_bin(), "export", "--quiet", "--frozen", "--no-default-groups"]
    command += ["--no-emit-project", *words, *(f"--no-emit-package={name}" for name in unused)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return "\n".join(line for line in done.stdout.splitlines() if not line.startswith("#"))


def _bootstrap(root: Path, kernel: Path) -> None:
    kernel.write_text(_KERNEL)
    kernel.chmod(0o755)
    command = ["mmdebstrap", "--quiet", "--variant=apt", f"--include={','.join(_PACKAGES)}"]
    command += ["--dpkgopt=path-exclude=/usr/share/doc/*", "--aptopt=Acquire::Languages none"]
    # The customize hook comes before apt's lists are thrown away.
    hook = f'cp {kernel} "$1/kernel" && chroot "$1" sh -e /kernel && rm "$1/kernel"'
    command += [f"--customize-hook={hook}", "trixie", str(root)]
    subprocess.run(command, check=True, capture_output=True, text=True)


def _install_site(site: Path, listed: str, platform: str = "x86_64") -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(listed)
        file.flush()
        command = [find_uv_bin(), "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
        command += ["--only-binary=:all:", f"--python-version={_PYTHON}", "--link-mode=copy"]
        command += [f"--python-platform={platform}-manylinux_2_36", f"--target={site}"]
        subprocess.run([*command, "-r", file.name], check=True, capture_output=True, text=True)
