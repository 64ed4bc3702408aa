"""Runs an RTSP camera of its own for a test, which may stall, be killed and come back."""

import signal
import subprocess
from pathlib import Path
from typing import Self

from services.ports import free_port

_PYTHON = "/usr/bin/python3"
_PROBE = (
    "import gi; gi.require_version('GstRtspServer', '1.0');"
    "from gi.repository import Gst; Gst.init(None);"
    "raise SystemExit(Gst.ElementFactory.find('x264enc') is None)"
)


def why_no_rtsp_server() -> str:
    """Return why GStreamer's RTSP server cannot be started here; empty when it can."""
    try:
        found = subprocess.run([_PYTHON, "-c", _PROBE], capture_output=True, check=False)
    except FileNotFoundError:
        return f"there is no {_PYTHON}"
    if found.returncode == 0:
        return ""
    return "GStreamer's RTSP server is not installed (gir1.2-gst-rtsp-server-1.0, plugins-ugly)"


class RtspServer:
    """GStreamer's RTSP server with a moving ball of 640x360 pixels at /street."""

    def __init__(self, *, user: str = "", password: str = "") -> None:
        """Choose a port; with a `user`, both are asked for."""
        self.port = free_port()
        self._login = f"{user}\n{password}\n".encode()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def url(self, path: str = "street", *, login: str = "") -> str:
        """Return the address; `login` is user:password."""
        return f"rtsp://{login}{'@' if login else ''}127.0.0.1:{self.port}/{path}"

    def start(self) -> None:
        """Start it, on the same port each time, and return once it listens."""
        self._process = subprocess.Popen(
            [_PYTHON, str(Path(__file__).with_name("rtsp_camera.py")), str(self.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(self._login)
        if self._process.stdout.readline() != b"ready\n":
            self.kill()
            raise RuntimeError(f"the RTSP server did not start on port {self.port}")

    def stall(self) -> None:
        """Stop it without closing anything, as a camera that hangs."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """Kill it with SIGKILL, which also ends one that stalls."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.communicate()
