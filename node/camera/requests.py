"""What the agent wants of the camera process: a still at once, or an end."""

import os
import threading
import time

from node.camera.pipe import SNAPSHOT_REQUEST

_GRACE_SECONDS = 1.0


class Requests:
    """The agent's wishes, as the line of the camera asks for them after each frame."""

    def __init__(self) -> None:
        self._snapshot = threading.Event()
        self._closed = threading.Event()

    @property
    def closed(self) -> bool:
        """Whether the agent closed its end."""
        return self._closed.is_set()

    def take_snapshot(self) -> bool:
        """Tell whether a still was asked for since the last call."""
        if not self._snapshot.is_set():
            return False
        self._snapshot.clear()
        return True

    def take(self, piece: bytes) -> None:
        """Take bytes of the agent; none at all mean that it closed its end."""
        if not piece:
            self._closed.set()
        elif SNAPSHOT_REQUEST in piece:
            self._snapshot.set()

    def listen(self, descriptor: int) -> None:
        """Read the agent's end in a thread.

        Once it is closed, the whole process is ended after one second even if a driver hangs:
        nothing may be left behind by an agent that died.
        """
        threading.Thread(
            target=self._listen, args=(descriptor,), name="camera-requests", daemon=True
        ).start()

    def _listen(self, descriptor: int) -> None:
        while not self.closed:
            self.take(os.read(descriptor, 64))
        time.sleep(_GRACE_SECONDS)
        os._exit(0)
