"""Boots a card image with a node's settings on it, and waits for its birth at a broker here.

The broker is a Mosquitto of its own on loopback, which the guest reaches through QEMU. The seed
stands for what the flasher and provisioning write.
"""

import json
import queue
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
from msgspec import Struct

from node.messages import Envelope, State
from provisioning.image.boot.board import Board, Line
from provisioning.image.boot.errors import MachineError, MachineTimeoutError
from provisioning.image.boot.fat_files import write_files
from provisioning.image.boot.partitions import read_partitions
from provisioning.image.boot.qemu import BROKER_ADDRESS, Machine
from provisioning.listen import BrokerAccess, listening

_ATTEMPTS = 100
_BOOT_SELECT = 1
_SETTINGS = """\
[node]
name = "{name}"
[uplink]
brokers = ["mqtt://{broker}"]
"""


class Birth(Struct, frozen=True, kw_only=True):
    """What was heard of a node."""

    node: str
    agent_version: str
    at_s: float
    """Since the machine was started."""


def birth_seed(name: str, broker: str) -> Mapping[str, bytes]:
    """Return a NoCloud seed that makes the image the node `name`, without a way to log in."""
    settings = {
        "path": "/etc/simpul/node.toml",
        "permissions": "0644",
        "content": _SETTINGS.format(name=name, broker=broker),
    }
    config = {"hostname": name, "write_files": [settings]}
    meta = {"instance-id": f"simpul-{name}-boot", "local-hostname": name}
    return {
        "meta-data": json.dumps(meta).encode() + b"\n",
        "user-data": b"#cloud-config\n" + json.dumps(config).encode() + b"\n",
        "network-config": b'{"version": 2, "ethernets": {"wired": '
        b'{"match": {"name": "e*"}, "dhcp4": true, "optional": true}}}\n',
    }


def write_seed(card: Path, files: Mapping[str, bytes]) -> None:
    """Put a seed on the boot-select partition of `card`. Raises CardError."""
    write_files(card, read_partitions(card)[_BOOT_SELECT], files)


def await_birth(
    card: Path,
    machine: Machine,
    room: Path,
    *,
    timeout_s: float,
    listen: Callable[[Line], None] | None = None,
) -> tuple[Birth, Board]:
    """Boot `card` as the node `kartu-uji` and return its birth and the board, which is off again.

    Writes to `card`, and the broker's files to `room`. Raises MachineError, MachineTimeoutError.
    """
    with broker(room) as port:
        write_seed(card, birth_seed("kartu-uji", f"{BROKER_ADDRESS}:{port}"))
        asked = replace(machine, broker=f"127.0.0.1:{port}")
        heard: queue.Queue[bytes] = queue.Queue()
        board = Board(card, asked, listen=listen)
        start_mono = time.monotonic()
        with (
            listening(
                BrokerAccess(url=f"mqtt://127.0.0.1:{port}"),
                ("state",),
                lambda _topic, payload: heard.put(payload),
            ),
            board,
        ):
            try:
                payload = heard.get(timeout=timeout_s)
            except queue.Empty as error:
                said = "".join(f"\n    {line.text}" for line in board.lines[-20:])
                raise MachineTimeoutError(f"no birth within {timeout_s:.0f} s{said}") from error
            at_s = time.monotonic() - start_mono
        envelope = msgspec.json.decode(payload, type=Envelope)
        state = msgspec.json.decode(envelope.data, type=State)
        return Birth(node=envelope.node, agent_version=state.agent_version, at_s=at_s), board


@contextmanager
def broker(room: Path) -> Iterator[int]:
    """Run a Mosquitto on loopback, open to this machine, and yield its port.

    Raises MachineError when it is missing or does not start.
    """
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        raise MachineError("mosquitto is missing: apt-get install mosquitto")
    port = _free_port()
    config = room / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n", encoding="ascii")
    with (
        (room / "mosquitto.log").open("wb") as log,
        subprocess.Popen([program, "-c", str(config)], stdout=log, stderr=log) as process,
    ):
        try:
            _await_port(port, process)
            yield port
        finally:
            process.terminate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(_ATTEMPTS):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.05)  # a broker does not say when it accepts
    raise MachineError(f"mosquitto does not accept on port {port}")
