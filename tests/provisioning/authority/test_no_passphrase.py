"""Who is asked for a passphrase and types none, but Ctrl-D, is told so."""

import os
import pty
import sys
from pathlib import Path

import pytest
from services.terminal import read_until

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("answered_count", [0, 1])
@pytest.mark.parametrize("line", ["authority init", "release keygen file"])
def test_an_end_of_input_is_explained(line: str, answered_count: int, tmp_path: Path) -> None:
    """A real terminal (pty(7)), whose end of input ends either question."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        os.environ["PYTHONPATH"] = str(ROOT)
        words = [sys.executable, "-m", "provisioning", *line.split()]
        os.execv(sys.executable, words)  # noqa: S606 - no shell
    for _ in range(answered_count):
        read_until(terminal, b": ")
        os.write(terminal, b"kuda lumping menari\n")
    read_until(terminal, b": ")
    os.write(terminal, b"\x04")
    said = read_until(terminal, b"")
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 1
    assert b"simpul: no passphrase was typed; start again" in said
    assert b"Traceback" not in said
    assert list(tmp_path.iterdir()) == []
