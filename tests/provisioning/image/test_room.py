"""A killed build leaves nothing for ever; a running one is left alone."""

import signal
import subprocess
import sys
from pathlib import Path

from provisioning.image.room import own_room

_BUILD = """
import sys
from pathlib import Path
from provisioning.image.room import own_room
with own_room(Path(sys.argv[1])) as room:
    (room / "root.erofs").write_bytes(b"half")
    print(room, flush=True)
    sys.stdin.read()
"""


def other_build(cache: Path) -> tuple[subprocess.Popen[str], Path]:
    """Start a build that waits; return it and its room."""
    command = [sys.executable, "-c", _BUILD, str(cache)]
    build = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert build.stdout
    return build, Path(build.stdout.readline().strip())


def test_what_a_killed_build_left_goes_and_a_running_one_keeps_its_own(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    killed, left = other_build(cache)
    running, held = other_build(cache)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert (left / "root.erofs").exists()

    with own_room(cache) as room:
        assert room.is_dir()
        assert not left.exists()
        assert (held / "root.erofs").read_bytes() == b"half"
    running.communicate()
    assert running.returncode == 0
    assert [each.name for each in cache.iterdir()] == ["lock"]
