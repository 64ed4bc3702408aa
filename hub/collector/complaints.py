"""Counts what is refused and logs it at a bearable rate, never with its content."""

import logging
from collections import Counter

_log = logging.getLogger(__name__)
_NAMES_MAX = 200
_OTHERS = "(others)"


class Complaints:
    """What was refused, by whom; at most one line for each sender in `interval_seconds`."""

    def __init__(self, *, interval_seconds: float = 60.0) -> None:
        self._interval = interval_seconds
        self._unlogged: Counter[str] = Counter()
        self._logged_at: dict[str, float] = {}
        self.count = 0

    def refuse(self, sender: str, problem: str, *, now: float) -> None:
        """Count a refusal; `now` is monotonic, in seconds."""
        self.count += 1
        if sender not in self._logged_at and len(self._logged_at) >= _NAMES_MAX:
            sender = _OTHERS  # names come from outside: the memory for them is bounded
        self._unlogged[sender] += 1
        last = self._logged_at.get(sender)
        if last is not None and now - last < self._interval:
            return
        self._logged_at[sender] = now
        _log.warning("refused %d from %r, last: %s", self._unlogged.pop(sender), sender, problem)
