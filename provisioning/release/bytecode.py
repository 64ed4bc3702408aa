"""Compiles a release for a Python of another version, so that a node need not at each start."""

import shutil
import subprocess
from pathlib import Path

from provisioning.release.errors import BuildError

_TIMEOUT_S = 900


def compile_tree(site: Path, *, python: str) -> None:
    """Write bytecode beside every module, never checked against times (PEP 552).

    Raises BuildError where that version of Python is not installed here.
    """
    program = shutil.which(f"python{python}")
    if program is None:
        raise BuildError(f"python{python} is not installed; build without bytecode")
    command = [program, "-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    command += ["-s", str(site), "-p", f"/opt/simpul/current/lib/python{python}/site-packages"]
    done = subprocess.run(
        [*command, str(site)],
        check=False,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        # Sets are written into bytecode in the order of their hashes.
        env={"PYTHONHASHSEED": "0"},
    )
    if done.returncode:
        raise BuildError(
            f"python{python} cannot compile the release:\n{(done.stdout + done.stderr)[-2000:]}"
        )
