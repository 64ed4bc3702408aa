"""An emulated board does not outlive the program that started it, however that ends."""

import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from services.small_card import make_small_card

_OWNER = """\
import sys
from pathlib import Path
from provisioning.image.boot.board import Board
from provisioning.image.boot.qemu import Machine

with Board(Path(sys.argv[1]), Machine(memory_mib=128, forwards=((int(sys.argv[2]), 22),))):
    sys.stdin.read()
"""


@pytest.mark.skipif(shutil.which("qemu-system-aarch64") is None, reason="needs qemu-system-arm")
def test_a_killed_owner_leaves_no_machine(tmp_path: Path) -> None:
    card = make_small_card(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", _OWNER, str(card), str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as owner, _connected(owner, port) as line:
        owner.kill()
        line.settimeout(60)
        with suppress(ConnectionResetError):
            assert line.recv(1) == b"", "the machine still runs"


def _connected(owner: subprocess.Popen[bytes], port: int) -> socket.socket:
    """Return a connection to the machine's port 22, which QEMU accepts once it runs."""
    while owner.poll() is None:
        with suppress(ConnectionRefusedError):
            return socket.create_connection(("127.0.0.1", port))
    raise AssertionError(f"the owner ended with {owner.returncode}")
