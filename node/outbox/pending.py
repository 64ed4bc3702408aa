"""Holds what sources said until the writer takes it: the only part of the outbox sources touch."""

import threading
from collections import deque
from datetime import datetime

from msgspec import Struct

from node.clock import Clock
from node.outbox.batch import Rank


class Note(Struct, frozen=True):
    """One measurement or event, before it has a number."""

    kind: str
    data: Struct
    at: datetime
    mono: float
    synced: bool


class Pending:
    """Bounded in messages: the oldest measurement makes room, events are never dropped."""

    def __init__(self, clock: Clock, *, messages_max: int) -> None:
        """Start empty."""
        self._clock = clock
        self._messages_max = messages_max
        self._changed = threading.Condition()
        self._notes: dict[Rank, deque[Note]] = {rank: deque() for rank in Rank}
        self._dropped_count = 0
        self._urgent = False

    @property
    def dropped_count(self) -> int:
        """Measurements dropped for want of room, since the start."""
        return self._dropped_count

    def put(self, rank: Rank, kind: str, data: Struct) -> None:
        """Take a note, stamped now. Returns at once."""
        note = Note(kind, data, self._clock.wall(), self._clock.mono(), self._clock.synced())
        with self._changed:
            queue = self._notes[rank]
            if rank is Rank.MEASUREMENT and len(queue) >= self._messages_max:
                queue.popleft()
                self._dropped_count += 1
            queue.append(note)
            # A sleeping writer need only know of the first note, of an event, or of a full batch.
            if rank is Rank.EVENT or len(queue) == 1 or len(queue) * 2 >= self._messages_max:
                self._urgent = self._urgent or rank is Rank.EVENT or len(queue) > 1
                self._changed.notify()

    def take(self) -> list[tuple[Rank, Note]]:
        """Return and forget every note: events first, else in order of arrival."""
        with self._changed:
            notes = [(rank, note) for rank in Rank for note in self._notes[rank]]
            for queue in self._notes.values():
                queue.clear()
            self._urgent = False
            return notes

    def wait(self, timeout_seconds: float) -> bool:
        """Wait until something urgent came or time is up; tell whether there is anything."""
        with self._changed:
            self._changed.wait_for(lambda: self._urgent, timeout_seconds)
            return any(self._notes.values())

    def hurry(self) -> None:
        """Wake the writer now."""
        with self._changed:
            self._urgent = True
            self._changed.notify()
