"""Deletes measurements that are older than the settings say, a little at a time, once a day."""

import logging
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from hub.errors import StoreRefusedError, StoreUnavailableError
from hub.store import Database, Mark, forget_old
from node.messages import Envelope

_log = logging.getLogger(__name__)
_PORTION_INTERVAL_SECONDS = 0.5
_PASS_INTERVAL_SECONDS = 86_400.0
_RETRY_SECONDS = 60.0
_UNTOLD = datetime(1970, 1, 1, tzinfo=UTC)


class Forgetting:
    """The passes over the database. Time is monotonic, in seconds.

    What is old is judged by the hub's clock only as far as the nodes' clocks bear it out: one that
    is years ahead would have everything deleted.
    """

    def __init__(self, database: Database, *, keep_days: int) -> None:
        """Nothing is ever deleted when `keep_days` is 0."""
        self._database = database
        self._keep_days = keep_days
        self._mark = Mark()
        self._next = 0.0
        self._nodes_say = _UNTOLD

    def heard(self, envelopes: Iterable[Envelope]) -> None:
        """Take what nodes with a clock that is set say the time is; nothing goes before."""
        said = (each.at for each in envelopes if each.clock_synced and not each.historical)
        self._nodes_say = max([self._nodes_say, *said])

    def tick(self, now: float) -> None:
        """Delete a portion, when it is time to."""
        if not self._keep_days or now < self._next or self._nodes_say == _UNTOLD:
            return
        before = min(datetime.now(UTC), self._nodes_say) - timedelta(days=self._keep_days)
        try:
            mark = forget_old(self._database, before=before, mark=self._mark)
        except (StoreUnavailableError, StoreRefusedError) as error:
            _log.debug("nothing old is deleted: %s", error)  # the next batch says it aloud
            self._next = now + _RETRY_SECONDS
            return
        self._mark = mark or Mark()
        self._next = now + (_PORTION_INTERVAL_SECONDS if mark else _PASS_INTERVAL_SECONDS)
