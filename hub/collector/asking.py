"""Asks nodes for what is missing, when the gap watch says so."""

import logging
import secrets
from datetime import UTC, datetime

from hub.collector.gaps import BootKey, GapWatch
from hub.collector.link import Link
from hub.errors import StoreUnavailableError
from hub.public.fleet import Fleet
from hub.settings import Gaps
from hub.store import Database, holes, incomplete_boots
from node.messages import Replay, encode_command, topic_of

_log = logging.getLogger(__name__)
_INTERVAL_SECONDS = 0.5
_ASKED_MAX = 50
_LOOKED_AT_MAX = 2000


class Asking:
    """The replay commands of the hub. Time is monotonic, in seconds."""

    def __init__(self, database: Database, link: Link, fleet: Fleet, settings: Gaps) -> None:
        self._database = database
        self._link = link
        self._fleet = fleet
        self._watch = GapWatch(settings)
        self._ranges_max = settings.ranges_max
        self._next = 0.0

    def tick(self, now: float) -> None:
        """Look for holes and ask for them, when it is time to."""
        if now < self._next or not self._link.connected:
            return
        self._next = now + _INTERVAL_SECONDS
        online = self._fleet.online(datetime.now(UTC))
        try:
            self._watch.saw(incomplete_boots(self._database, online, count_max=_LOOKED_AT_MAX), now)
            for key in self._watch.due(now)[:_ASKED_MAX]:
                self._ask(key, now)
        except StoreUnavailableError as error:
            _log.debug("no look at the holes: %s", error)  # the next batch says it aloud

    def _ask(self, key: BootKey, now: float) -> None:
        missing = holes(self._database, key.node, boot_id=key.boot)[: self._ranges_max]
        for hole in missing:
            command = Replay(
                id=secrets.token_hex(8), boot=hole.boot, first=hole.first, last=hole.last
            )
            self._link.send(topic_of(key.node, "cmd"), encode_command(command))
        if missing:
            _log.info("asked %s for %d ranges of boot %s", key.node, len(missing), key.boot)
        self._watch.asked(key, now)
