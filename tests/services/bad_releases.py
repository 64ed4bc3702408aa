"""What releases can be bad at: shell text that stands before the agent's own start (node_fleet)."""

import sys

from services.node_fleet import CRASHES

_SAY_READY = """import os, socket, time
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
    channel.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
"""
_EAT = """held = []
while True:
    held.append(bytearray(200 << 20))
    time.sleep(0.2)
"""
_OTHER = "/run/other.toml"


def _instead(program: str) -> str:
    """Run a Python program in the agent's place, once it has said that it is ready."""
    return f"""[ "$1" != agent ] || exec {sys.executable} -c '{_SAY_READY}{program}'"""


def _beside(shell: str) -> str:
    """Run shell text before the agent."""
    return f'if [ "$1" = agent ]; then\n{shell}\nfi'


_NO_SSH = "(while :; do pkill -x sshd; sleep 0.1; done) &"
_NO_BROKER = (
    f"sed 's/:[0-9]*\"]/:1\"]/' /etc/simpul/node.toml > {_OTHER}\nset -- agent --config {_OTHER}"
)
MODEL = "Raspberry Pi 5 Model B"
HANGS = _instead("time.sleep(100000)")
EATS_MEMORY = _instead(_EAT)
REACHES_NO_BROKER = _beside(_NO_BROKER)
KILLS_SSH = _beside(_NO_SSH)
KILLS_THE_NETWORK = _beside(f"{_NO_SSH}\n{_NO_BROKER}")
FAILS_ON_ONE_MODEL = f"if grep -qs 'Pi 5' /etc/simpul/model; then {CRASHES}; fi"
REFUSES_SETTINGS = "[ \"$1\" != check ] || { echo 'camera.angel: unknown' >&2; exit 2; }"


def crashes_after(seconds: int) -> str:
    """Kill the agent once, so long after its start."""
    return _beside(f"(sleep {seconds}; kill -9 $$) &")
