"""Holds one camera process from the agent's side: starts it, hears it, and always ends it."""

import os
import selectors
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import IO, Self

from node.camera.pipe import SNAPSHOT_REQUEST, Record, RecordReader
from node.camera.stderr_log import StderrLog
from node.errors import CameraError

_READ_BYTES = 65_536
_STOP_SECONDS = 1.2  # the process itself gives a hanging driver one second
_KILLED_SECONDS = 5.0  # a busy machine takes a while to give the memory back
_LAST_WORDS_SECONDS = 1.0


class CameraChild:
    """One run of the camera process; a context manager that leaves no process and no descriptor."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start `command` in a session of its own. Raises CameraError when that cannot be."""
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise CameraError(f"the camera process cannot be started: {error}") from error
        self._stdin = _pipe(self._process.stdin)
        self._stdout = _pipe(self._process.stdout)
        self._stderr = _pipe(self._process.stderr)
        os.set_blocking(self._stdin.fileno(), False)
        os.set_blocking(self._stderr.fileno(), False)
        self._records = RecordReader()
        self._log = StderrLog()
        self._readable = selectors.DefaultSelector()
        self._readable.register(self._stdout, selectors.EVENT_READ)
        self._readable.register(self._stderr, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def read(self, *, timeout_seconds: float) -> list[Record]:
        """Return the records that came within `timeout_seconds`, often none.

        Raises CameraError when the process ended, with its last words, or wrote nonsense.
        """
        records: list[Record] = []
        for key, _ in self._readable.select(timeout_seconds):
            if key.fileobj is self._stderr:
                self._hear_stderr()
                continue
            piece = os.read(key.fd, _READ_BYTES)
            if not piece:
                raise CameraError(self._last_words())
            records += self._records.feed(piece)
        return records

    def request_still(self) -> None:
        """Ask for a still with the next frame. Raises CameraError when the process is gone."""
        try:
            os.write(self._stdin.fileno(), SNAPSHOT_REQUEST)
        except BlockingIOError:
            return  # thousands of requests are waiting already
        except (OSError, ValueError) as error:
            raise CameraError(f"the camera process does not listen: {error}") from error

    def kill(self) -> None:
        """End the process and all that it started, at once."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Let the process end by itself, else kill it; give back every descriptor.

        Raises CameraError when the process cannot be ended.
        """
        self._readable.close()
        self._stdin.close()
        self._stdout.close()  # a process that is busy writing must notice, too
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            self.require_end(timeout_seconds=_KILLED_SECONDS)
        finally:
            self._stderr.close()

    def require_end(self, *, timeout_seconds: float = 0.0) -> None:
        """Raise CameraError when the process, which was killed, is still there.

        Even SIGKILL does not end a process that is in a system call which cannot be interrupted.
        """
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired as error:
            raise CameraError(
                f"the camera process {self._process.pid} was killed and does not end: "
                "its driver hangs, and only a restart of the whole node helps"
            ) from error

    def _hear_stderr(self) -> None:
        with suppress(BlockingIOError):
            while piece := os.read(self._stderr.fileno(), _READ_BYTES):
                self._log.feed(piece)
            with suppress(KeyError):  # at its end it would be readable for ever
                self._readable.unregister(self._stderr)

    def _last_words(self) -> str:
        try:
            code: int | None = self._process.wait(_LAST_WORDS_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
        self._hear_stderr()
        how = "closed its output" if code is None else f"ended with code {code}"
        return f"the camera process {how}: {self._log.last_line or 'it said nothing'}"


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:  # not with PIPE
        raise CameraError("the camera process has no pipe")
    return stream
