"""Runs the demonstration: sets it up in a temporary folder, waits for the first pictures, ends."""

import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import FrameType

from msgspec import Struct
from rich.console import Console

from provisioning.demo.files import PLACES, write_hub, write_mosquitto, write_node
from provisioning.demo.programs import Program, require_running, start, stop_all
from provisioning.errors import DemoError

_SURVEILLANCE_CLIP = Path("/usr/share/doc/opencv-doc/examples/data/vtest.avi")
_MOSQUITTO_PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/opt/homebrew/sbin"
_START_SECONDS = 60.0
_TICK_SECONDS = 0.2


class Demo(Struct, frozen=True, kw_only=True):
    """What may be chosen; `video` None takes this machine's clip, else a drawn street."""

    video: Path | None = None
    port: int = 8080
    seconds: float = 0


def run_demo(demo: Demo, console: Console) -> None:
    """Run until Ctrl-C, SIGTERM or `demo.seconds`; leave nothing behind.

    Raises DemoError when the clip or the port cannot be used, or a program ends.
    """
    video = _clip(demo.video)
    _require_free(demo.port)
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    programs: list[Program] = []
    with tempfile.TemporaryDirectory(prefix="simpul-demo-") as folder:
        directory = Path(folder)
        try:
            broker = _start_all(programs, directory, demo, video)
            console.print(f"input: {video or 'a street scene drawn by the program'}")
            _await_pictures(programs, directory, stop)
            console.print(f"page:  http://127.0.0.1:{demo.port}/", highlight=False)
            console.print(f"fleet: simpul watch --broker {broker}", highlight=False)
            console.print("Everything here is simulated or replayed. Ctrl-C ends it.")
            _stay(programs, stop, demo.seconds)
        finally:
            stop_all(programs)
    console.print("ended; nothing is left behind")


def _clip(video: Path | None) -> Path | None:
    if video is None:
        return _SURVEILLANCE_CLIP if _SURVEILLANCE_CLIP.exists() else None
    if not video.is_file():
        raise DemoError(f"{video}: there is no such clip; give the path of a video file")
    return video.resolve()


def _start_all(programs: list[Program], directory: Path, demo: Demo, video: Path | None) -> str:
    """Start broker, hub and nodes; return the broker's address."""
    port = _free_port()
    broker = f"mqtt://127.0.0.1:{port}"
    programs.append(_start_broker(directory, port))
    _await_port(port, programs)
    hub = str(write_hub(directory, broker=broker, port=demo.port))
    python = sys.executable
    for name in ("collect", "serve"):
        command = [python, "-m", "hub", name, "--config", hub]
        programs.append(start(name, command, directory))
    for place in PLACES:
        file = write_node(directory, place, broker=broker, video=video)
        command = [python, "-m", "node", "agent", "--config", str(file)]
        programs.append(start(place.name, command, directory))
    return broker


def _start_broker(directory: Path, port: int) -> Program:
    # Debian puts it where a user's PATH does not look.
    places = os.environ.get("SIMPUL_MOSQUITTO_PATH", _MOSQUITTO_PLACES)
    mosquitto = shutil.which("mosquitto", path=places)
    if mosquitto is None:
        command = [sys.executable, "-m", "provisioning.demo.broker", str(port)]
    else:
        command = [mosquitto, "-c", str(write_mosquitto(directory, port=port))]
    return start("broker", command, directory)


def _await_pictures(programs: list[Program], directory: Path, stop: threading.Event) -> None:
    """Wait until the page shows a still of every place."""
    listing = directory / "hub" / "public" / "cameras.json"
    end_mono = time.monotonic() + _START_SECONDS
    while not stop.wait(_TICK_SECONDS):
        require_running(programs)
        if listing.exists():
            cameras = json.loads(listing.read_bytes())["cameras"]
            if sum(camera["state"] == "online" for camera in cameras) == len(PLACES):
                return
        if time.monotonic() > end_mono:
            raise DemoError(f"no picture of every place within {_START_SECONDS:g} s")


def _stay(programs: list[Program], stop: threading.Event, seconds: float) -> None:
    end_mono = time.monotonic() + seconds if seconds else float("inf")
    while not stop.wait(_TICK_SECONDS) and time.monotonic() < end_mono:
        require_running(programs)


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise DemoError(
                f"port {port} is taken ({error.strerror}); choose another with --port, "
                "or `make demo PORT=8081`"
            ) from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_port(port: int, programs: list[Program]) -> None:
    end_mono = time.monotonic() + _START_SECONDS
    while time.monotonic() < end_mono:
        require_running(programs)
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except ConnectionRefusedError:
            time.sleep(_TICK_SECONDS)
    raise DemoError(f"the broker does not listen on port {port}")
