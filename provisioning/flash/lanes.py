"""Keeps two requests of one card under way, so that it never waits for this program.

Threads of their own instead of a pool of the standard library's: a card that never answers must
not keep the program from ending.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Self

from node.messages import SimpulError
from provisioning.fault import handing_on
from provisioning.flash.block import aligned_buffer

LANES_COUNT = 2
_Request = tuple[Future[None], Callable[[], None]]


class Lanes:
    """Two threads, each with a buffer of its own, used in turn."""

    def __init__(self, buffer_bytes: int) -> None:
        self._queue: SimpleQueue[_Request | None] = SimpleQueue()
        self._buffers = [aligned_buffer(buffer_bytes) for _ in range(LANES_COUNT)]
        self._turn: int = 0
        self._threads = [
            threading.Thread(target=self._work, name="lane", daemon=True) for _ in self._buffers
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Until the last request is done: its descriptor must not be closed, and become another's.
        ends: list[None] = [None] * LANES_COUNT
        for end in ends:
            self._queue.put(end)
        for thread in self._threads:
            thread.join()

    def buffer(self) -> memoryview:
        """Return the next buffer in turn; what used it before has to be done."""
        self._turn += 1
        return self._buffers[self._turn % LANES_COUNT]

    def start(self, request: Callable[[], None]) -> Future[None]:
        """Begin a request; its result says when it is done, or raises what it raised."""
        done: Future[None] = Future()
        self._queue.put((done, request))
        return done

    def _work(self) -> None:
        while (taken := self._queue.get()) is not None:
            done, request = taken
            with suppress(SimpulError, OSError), handing_on(done.set_exception):
                request()
                done.set_result(None)
