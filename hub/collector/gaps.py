"""Decides when to ask which node for what is missing; pure: time and facts are arguments."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from hub.settings import Gaps


class BootKey(NamedTuple):
    """One run of one node's agent."""

    node: str
    boot: str


@dataclass(slots=True)
class _Gap:
    missing: int
    next_ask: float
    interval: float


class GapWatch:
    """Remembers which boots of nodes online have holes and when each was asked for last.

    A new gap is given time to fill by itself, for a node sends its backlog unasked. After an ask
    the pause doubles. As long as a gap shrinks, the answer is on its way and nobody asks again.
    The gaps of a node that went away are forgotten, so it is asked soon when it is back.
    """

    def __init__(self, settings: Gaps) -> None:
        self._settings = settings
        self._gaps: dict[BootKey, _Gap] = {}

    def saw(self, missing: Mapping[tuple[str, str], int], now: float) -> None:
        """Take how many measurements each incomplete boot lacks; all others are forgotten.

        `now` is monotonic, in seconds, here and below.
        """
        keys = {BootKey(*key): amount for key, amount in missing.items()}
        for closed in self._gaps.keys() - keys.keys():
            del self._gaps[closed]
        for key, amount in keys.items():
            gap = self._gaps.get(key)
            if gap is None:
                grace = self._settings.grace_seconds
                self._gaps[key] = _Gap(amount, now + grace, self._settings.interval_min_seconds)
                continue
            if amount < gap.missing:
                gap.interval = self._settings.interval_min_seconds
                gap.next_ask = max(gap.next_ask, now + self._settings.grace_seconds)
            gap.missing = amount

    def due(self, now: float) -> list[BootKey]:
        """Return the boots to ask for now; the longest overdue first."""
        due = [(gap.next_ask, key) for key, gap in self._gaps.items() if gap.next_ask <= now]
        return [key for _, key in sorted(due)]

    def asked(self, key: BootKey, now: float) -> None:
        """Note that `key` was asked for."""
        gap = self._gaps.get(key)
        if gap is None:
            return
        gap.next_ask = now + gap.interval
        gap.interval = min(gap.interval * 2, self._settings.interval_max_seconds)
