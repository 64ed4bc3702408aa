"""Lends an arm64 root this machine's own small tools while it is being set up.

Maintainer scripts start thousands of small processes; under emulation each costs more than its
work. A program for the machine's own processor needs no emulation wherever it lies, so the tools
that scripts call most stand first on their PATH, and are taken away again. Only such whose answer
does not depend on the processor: no uname, no dpkg but for unpacking.
"""

import platform
import re
import shutil
import subprocess
from pathlib import Path

_TOOLS = (
    *(
        "awk",
        "basename",
        "cat",
        "chmod",
        "cp",
        "cut",
        "dirname",
        "dpkg-deb",
        "expr",
        "grep",
        "head",
    ),
    *(
        "id",
        "ln",
        "ls",
        "mkdir",
        "mktemp",
        "mv",
        "readlink",
        "realpath",
        "rm",
        "rmdir",
        "sed",
        "sort",
    ),
    *("stat", "tail", "tar", "touch", "tr", "uniq", "wc", "xargs"),
)
_LIBRARY = re.compile(r"(?:=> )?(?P<path>/\S+) \(0x[0-9a-f]+\)")
FOLDERS = ("usr/local/bin", "usr/lib/x86_64-linux-gnu", "usr/lib64")
"""Where they stand in the root; the latter two exist in no arm64 root of its own."""
LINK = "lib64"
"""The loader's folder as programs name it; base-files wants it to be a link."""


def native_tools(into: Path) -> Path | None:
    """Gather the tools in the tree `into` and return it; None where they are not needed."""
    if platform.machine() != "x86_64" or not Path("/lib64/ld-linux-x86-64.so.2").exists():
        return None
    programs, libraries, loader = (into / each for each in FOLDERS)
    for folder in (programs, libraries, loader):
        folder.mkdir(parents=True)
    (into / LINK).symlink_to(FOLDERS[-1])
    for name in _TOOLS:
        found = shutil.which(name, path="/usr/bin:/bin")
        if found is None:
            continue
        shutil.copyfile(found, programs / name)
        (programs / name).chmod(0o755)
        for library in _libraries(found):
            folder = loader if library.parent.name == "lib64" else libraries
            shutil.copyfile(library, folder / library.name)
            (folder / library.name).chmod(0o755)
    return into


def _libraries(program: str) -> list[Path]:
    done = subprocess.run(
        ["ldd", program],  # noqa: S607 - of the C library, where PATH has it
        capture_output=True,
        text=True,
        check=False,
    )
    return [Path(found["path"]) for found in _LIBRARY.finditer(done.stdout)]
