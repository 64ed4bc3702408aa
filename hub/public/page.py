"""Keeps the public directory in step with the fleet, at most once a second."""

import logging
from datetime import UTC, datetime

import msgspec

from hub.errors import PublicDirectoryError
from hub.public.directory import PublicDirectory
from hub.public.fleet import Fleet

_log = logging.getLogger(__name__)
_INTERVAL_SECONDS = 1.0
_SETTLE_SECONDS = 2.0
_BACKLOG_SECONDS = 120.0
"""Longest wait for the end of a backlog, or else the page's readers would call it outdated."""
_RENEW_SECONDS = 30.0
"""Well below the minute that readers count on, for the database may hold up a refresh."""
_PENDING_STILLS_MAX = 64


class PublicPage:
    """The files of the page. Time is monotonic, in seconds."""

    def __init__(self, fleet: Fleet, directory: PublicDirectory) -> None:
        self._fleet = fleet
        self._directory = directory
        self._stills: dict[str, bytes | None] = {}
        self._written: object = None
        self._renew_at = 0.0
        self._next: float = 0.0
        # The page of a former run stays until the broker has told of most nodes again.
        self._settled_at: float | None = None if directory.has_cameras() else 0.0
        self._swept = False
        self._failing = False

    def still(self, node: str, jpeg: bytes | None) -> None:
        """Have a still written with the next refresh; None removes it."""
        self._stills[node] = jpeg

    def told(self, now: float, *, backlog: bool) -> None:
        """Note that the broker tells of nodes; a backlog names few of them, and how they were."""
        if self._settled_at is None:
            self._settled_at = now + _BACKLOG_SECONDS
        if not backlog:
            self._settled_at = min(self._settled_at, now + _SETTLE_SECONDS)

    def refresh(self, now: float) -> None:
        """Write what changed, when it is time to; a full disk is logged and tried again."""
        if len(self._stills) < _PENDING_STILLS_MAX and now < self._next:
            return
        self._next = now + _INTERVAL_SECONDS
        try:
            self._write(now)
        except PublicDirectoryError as error:
            if not self._failing:
                _log.error("%s", error)
            self._failing = True
            return
        if self._failing:
            _log.info("the public directory is written again")
        self._failing = False

    def _write(self, now: float) -> None:
        while self._stills:
            node, jpeg = next(iter(self._stills.items()))
            if jpeg is None:
                self._directory.remove_still(node)
            else:
                self._directory.write_still(node, jpeg)
            del self._stills[node]
        if self._settled_at is None or now < self._settled_at:
            return
        content = self._fleet.file(datetime.now(UTC))
        # Written anew when nothing changed, too: generated_at tells that the collector lives.
        if content.cameras != self._written or now >= self._renew_at:
            self._directory.write_cameras(msgspec.json.encode(content))
            self._written = content.cameras
            self._renew_at = now + _RENEW_SECONDS
        if not self._swept and self._settled_at > 0:
            for node in self._directory.stills() - self._fleet.nodes():
                self._directory.remove_still(node)
            self._swept = True
