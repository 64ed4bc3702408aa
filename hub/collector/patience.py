"""Waits for a database that is down, and says so once."""

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from hub.collector.backoff import Backoff
from hub.errors import StoreUnavailableError
from hub.settings import DatabaseAt
from node.messages import SimpulError

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class StoppedError(SimpulError):
    """The collector was told to stop before the database came back."""


class Patience:
    """Does something with the database until it works."""

    def __init__(self, settings: DatabaseAt, stop: threading.Event) -> None:
        self._stop = stop
        self._backoff = Backoff(
            min_seconds=settings.backoff_min_seconds, max_seconds=settings.backoff_max_seconds
        )
        self._down = False

    def until_done(self, action: Callable[[], _T]) -> _T:
        """Return what `action` returns, however long the database is away.

        Raises StoppedError when told to stop first. Anything but StoreUnavailableError passes.
        """
        while True:
            try:
                result = action()
            except StoreUnavailableError as error:
                if not self._down:
                    _log.warning("%s; nothing is acknowledged until it works", error)
                self._down = True
                if self._stop.wait(self._backoff.next_seconds()):
                    raise StoppedError("stopped while the database was down") from error
                continue
            if self._down:
                _log.info("the database works again")
            self._down = False
            self._backoff.reset()
            return result
