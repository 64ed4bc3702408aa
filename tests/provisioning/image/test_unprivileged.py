"""A user without any privilege builds the same image, bit by bit, as root does."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioning.image.build import default_cache
from provisioning.image.describe import Description, read_description
from provisioning.image.order import PROJECT

USER, USER_ID, FIRST_SUBORDINATE_ID = "builder", 64321, 3_000_000
pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(os.geteuid() != 0, reason="root lends the user subordinate ids"),
]
# newuidmap(1) reads these files, here in a mount namespace of the test's own.
_SCRIPT = f"""
set -eu
for file in passwd group subuid subgid; do mount --bind "$1/$file" "/etc/$file"; done
cd "$1/home"
shift
exec setpriv --reuid {USER_ID} --regid {USER_ID} --clear-groups "$@"
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder with a user's accounts and home, where that user may come."""
    made = Path("/var/tmp") / f"simpul-unprivileged-{os.getpid()}"  # noqa: S108 - pytest's are closed
    home = made / "home"
    home.mkdir(parents=True)
    line = f"{USER}:x:{USER_ID}:"
    texts = {
        "passwd": Path("/etc/passwd").read_text() + f"{line}{USER_ID}::{home}:/bin/sh\n",
        "group": Path("/etc/group").read_text() + f"{line}\n",
        "subuid": f"{USER}:{FIRST_SUBORDINATE_ID}:65536\n",
        "subgid": f"{USER}:{FIRST_SUBORDINATE_ID}:65536\n",
    }
    for name, text in texts.items():
        (made / name).write_text(text)
    yield made
    shutil.rmtree(made)


def as_user(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    home = folder / "home"
    words = ["unshare", "--mount", "sh", "-c", _SCRIPT, "sh", str(folder), *command]
    environment = {
        **os.environ,
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "TMPDIR": str(home),
        "PYTHONPATH": str(home / "simpul"),
    }
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)


def test_an_unprivileged_build_is_identical(built: tuple[Path, Description], folder: Path) -> None:
    home = folder / "home"
    # Packages are inputs, checked by their SHA-256; nobody may write to root's.
    for name in ("debian", "debian-native"):
        packages = home / ".cache/simpul/image" / name / "archives"
        shutil.copytree(default_cache() / name / "archives", packages)
    hidden = shutil.ignore_patterns(".*", "build")
    shutil.copytree(PROJECT, home / "simpul", symlinks=True, ignore=hidden)
    subprocess.run(["chown", "-R", f"{USER_ID}:{USER_ID}", home], check=True)
    if as_user(folder, sys.executable, "-c", "import fabric").returncode:
        pytest.skip(f"{sys.executable} is closed to other users")
    out = home / "out"
    words = [sys.executable, "-m", "provisioning", "image", "build", f"--output={out}"]
    done = as_user(folder, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    (described,) = out.glob(f"*-{built[1].version}.json")
    again = read_description(described)
    assert again.image.sha256 == built[1].image.sha256
    assert again.compressed.sha256 == built[1].compressed.sha256
