"""The outbox: every measurement gets its number, reaches the card, and stays until it is sent.

Theory of operation. Sources `put`; nothing waits for the disk. The writer thread (`run`) turns
what is pending into batches, gives out sequence numbers and writes them in one transaction. Only
then may the uplink take them: what was written while it is attached is *fresh* and goes first;
everything else unsent is *history* and follows behind, events before measurements. `acknowledge`
marks a batch sent; it stays for the replay window. When room runs out, sent batches go first, then
the oldest unsent measurements, never unsent events. When the disk refuses, batches live in memory,
bounded, and are sent all the same.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
from msgspec import Struct

from node.clock import Clock
from node.errors import OutboxError
from node.messages import BootLedger, Envelope, OutboxDamaged, Seqs, encode
from node.outbox.batch import Batch, Key, Rank, historical, pack, unpack
from node.outbox.pending import Note, Pending
from node.outbox.salvage import open_store
from node.outbox.store import (
    Shelf,
    Store,
    StoreDamagedError,
    StoreReadOnlyError,
    Totals,
    without,
)
from node.settings import Outbox as OutboxSettings

_BATCH_MESSAGES_MAX = 512
_FRESH_BATCHES_MAX = 64
_REPLAYS_MAX = 10_000
_MARKS_MAX = 256
_MARK_INTERVAL_SECONDS = 5.0
_HOUSEKEEPING_INTERVAL_SECONDS = 60.0
_SECONDS_PER_HOUR = 3600.0
_log = logging.getLogger(__name__)


class Delivery(Struct, frozen=True, kw_only=True):
    """Envelopes to send together; hand it back to `acknowledge` when all arrived."""

    key: Key
    envelopes: tuple[Envelope, ...]
    replayed: bool = False


class Figures(Struct, frozen=True, kw_only=True):
    """How the outbox fares."""

    held_bytes: int
    unsent_count: int
    sacrificed_count: int
    unrecorded_count: int
    volatile: bool


class Outbox:
    """Durable queue of one run of the agent; safe to call from any thread."""

    def __init__(
        self, file: Path, settings: OutboxSettings, *, node: str, boot: str, clock: Clock
    ) -> None:
        """Prepare the queue of run `boot`; the file is opened by the first commit."""
        self._file = file
        self._settings = settings
        self._node = node
        self._boot = boot
        self._clock = clock
        self._pending = Pending(clock, messages_max=settings.pending_max)
        self._lock = threading.RLock()
        self._store: Store | None = None
        self._damage = ""
        self._refusing = False
        self._read_only = False
        self._totals = Totals(0, 0, 0)
        self._last_seq = 0
        self._volatile: dict[Key, Batch] = {}
        self._marks: set[Key] = set()
        self._taken: set[Key] = set()
        self._fresh: deque[Batch] = deque()
        self._replays: deque[Shelf] = deque(maxlen=_REPLAYS_MAX)
        self._on_ready: Callable[[], None] | None = None
        self._marked_mono = self._housekept_mono = clock.mono()

    # -- for the sources and the writer thread -----------------------------------------------

    def put(self, rank: Rank, kind: str, data: Struct) -> None:
        """Take a measurement or event; returns at once, the writer does the rest."""
        self._pending.put(rank, kind, data)

    def run(self, stop: threading.Event) -> None:
        """Write what is pending at every commit interval, at once for an event, until `stop`."""
        while not stop.is_set():
            self._pending.wait(self._settings.commit_interval_seconds)
            self.commit()
        self.commit()

    def hurry(self) -> None:
        """Make the writer commit now."""
        self._pending.hurry()

    def commit(self) -> None:
        """Write what is pending with its numbers, mark what was acknowledged, keep the bounds."""
        with self._lock:
            store = self._opened()
            batches = list(self._batched(self._pending.take()))
            self._volatile |= {batch.key: batch for batch in batches}
            self._count(unsent=sum(batch.count for batch in batches))
            if store:
                self._write(store)
            self._bound_memory()
            if self._on_ready and batches:
                self._offer(batches)

    def _batched(self, notes: list[tuple[Rank, Note]]) -> Iterator[Batch]:
        for rank in Rank:
            row = [note for its_rank, note in notes if its_rank is rank]
            for start in range(0, len(row), _BATCH_MESSAGES_MAX):
                yield self._batch(rank, row[start : start + _BATCH_MESSAGES_MAX])

    def _batch(self, rank: Rank, notes: list[Note]) -> Batch:
        first = self._last_seq + 1
        self._last_seq += len(notes)
        envelopes = (
            Envelope(
                node=self._node,
                boot=self._boot,
                seq=seq,
                at=note.at,
                mono=round(note.mono, 3),
                clock_synced=note.synced,
                historical=False,
                kind=note.kind,
                data=msgspec.Raw(encode(note.data)),
            )
            for seq, note in enumerate(notes, start=first)
        )
        return Batch(
            rank=rank,
            boot=self._boot,
            first=first,
            last=self._last_seq,
            at=notes[-1].at.timestamp(),
            synced=notes[-1].synced,
            body=pack(envelopes),
        )

    # -- for the uplink ----------------------------------------------------------------------

    def attach(self, on_ready: Callable[[], None]) -> None:
        """Begin to offer what is written from now on as fresh; `on_ready` must not block."""
        with self._lock:
            self._on_ready = on_ready

    def detach(self) -> None:
        """Put everything that was not acknowledged back: the connection is gone."""
        with self._lock:
            self._on_ready = None
            self._fresh.clear()
            self._taken.clear()

    def take_fresh(self) -> Delivery | None:
        """Return what was measured just now and not sent yet, or None."""
        with self._lock:
            if not self._fresh:
                return None
            batch = self._fresh.popleft()
        return Delivery(key=batch.key, envelopes=tuple(unpack(batch.body)))

    def take_history(self) -> Delivery | None:
        """Return a replay or the next unsent batch of the past, marked historical, or None."""
        with self._lock:
            try:
                return self._replayed() or self._unsent()
            except OutboxError as error:
                self._refused(error)
                return None

    def acknowledge(self, delivery: Delivery) -> None:
        """Note that the broker has every message of `delivery`."""
        with self._lock:
            if delivery.replayed or delivery.key not in self._taken:
                return
            self._taken.discard(delivery.key)
            self._count(unsent=-len(delivery.envelopes))
            if self._volatile.pop(delivery.key, None) is None:
                self._marks.add(delivery.key)
            if len(self._marks) >= _MARKS_MAX:
                self.hurry()

    def replay(self, boot: str, first: int, last: int) -> tuple[Seqs, ...]:
        """Queue sent messages to be sent again; return the ranges that are gone.

        Raises OutboxError when the file cannot be read now.
        """
        with self._lock:
            if boot == self._boot:
                last = min(last, self._last_seq)
            held = [] if self._store is None else self._store.covering(boot, first, last)
            held += [
                Shelf(key, batch.last, batch.cost_bytes, sent=False)
                for key, batch in self._volatile.items()
                if key.boot == boot
            ]
            if self._store is None and self._refusing:
                raise OutboxError("the outbox file cannot be read now; ask again later")
            waiting = {shelf.key for shelf in self._replays}
            self._replays += (
                shelf
                for shelf in held
                if (shelf.sent or shelf.key in self._marks) and shelf.key not in waiting
            )
        return tuple(without(first, last, held))

    def ledgers(self) -> tuple[BootLedger, ...]:
        """Return how far every run counted that still has messages here, this run last."""
        with self._lock:
            try:
                past = [] if self._store is None else self._store.ledgers()
            except OutboxError as error:
                self._refused(error)
                past = []
            this = BootLedger(boot=self._boot, last_seq=self._last_seq)
            return (*(ledger for ledger in past if ledger.boot != self._boot), this)

    def figures(self) -> Figures:
        """Return how the outbox fares."""
        with self._lock:
            return Figures(
                held_bytes=self._totals.held_bytes,
                unsent_count=self._totals.unsent_count,
                sacrificed_count=self._totals.sacrificed_count,
                unrecorded_count=self._pending.dropped_count,
                volatile=self._refusing,
            )

    def close(self) -> None:
        """Write what is left and close the file."""
        with self._lock:
            self.commit()
            if self._store and self._marks:
                self._write(self._store, marks_too=True)
            self._shut()

    def _offer(self, batches: list[Batch]) -> None:
        for batch in batches:
            if len(self._fresh) < _FRESH_BATCHES_MAX and batch.key not in self._taken:
                self._fresh.append(batch)
                self._taken.add(batch.key)
        if self._on_ready:
            self._on_ready()

    def _replayed(self) -> Delivery | None:
        while self._replays and self._store:
            shelf = self._replays.popleft()
            batch = self._store.batch(shelf.key)
            if batch and (envelopes := self._read(batch)):
                return Delivery(key=batch.key, envelopes=historical(envelopes), replayed=True)
        return None

    def _unsent(self) -> Delivery | None:
        while batch := self._next_unsent():
            self._taken.add(batch.key)
            if envelopes := self._read(batch):
                return Delivery(key=batch.key, envelopes=historical(envelopes))
        return None

    def _next_unsent(self) -> Batch | None:
        for key, batch in self._volatile.items():
            if key not in self._taken:
                return batch
        return self._store.next_unsent(skip=self._taken | self._marks) if self._store else None

    def _read(self, batch: Batch) -> list[Envelope]:
        try:
            return unpack(batch.body)
        except ValueError as error:
            _log.warning("messages %d to %d are lost: %s", batch.first, batch.last, error)
            shelf = Shelf(batch.key, batch.last, batch.cost_bytes, sent=False)
            if self._store:
                self._remove(self._store, [shelf])
            return []

    # -- the file, its bounds and its troubles -----------------------------------------------

    def _opened(self) -> Store | None:
        if self._read_only:
            self._shut()
        if self._store:
            return self._store
        try:
            store, damage = open_store(self._file, damage=self._damage)
            with ExitStack() as undo:
                undo.callback(store.close)
                totals, marked_count = store.totals(), store.unsent_count(self._marks)
                undo.pop_all()
        except OutboxError as error:
            self._refused(error)
            return None
        self._store, self._damage, self._totals = store, "", totals
        # The file does not know yet what was acknowledged, nor what waits to be written.
        waiting_count = sum(batch.count for batch in self._volatile.values())
        self._count(unsent=waiting_count - marked_count)
        if damage:
            reason, count = damage
            event = OutboxDamaged(reason=reason[:500], salvaged_count=count)
            self.put(Rank.EVENT, "event/outbox-damaged", event)
        return store

    def _write(self, store: Store, *, marks_too: bool = False) -> None:
        now_mono = self._clock.mono()
        # Marks ride along with the next batch; alone they wait, for the card's sake. Losing a
        # mark costs a message sent twice, which the hub's primary key forgives.
        late = now_mono - self._marked_mono >= _MARK_INTERVAL_SECONDS
        marks_due = self._marks and (marks_too or late or len(self._marks) >= _MARKS_MAX)
        try:
            if self._volatile or marks_due:
                store.write(self._volatile.values(), self._marks)
                self._count(held=sum(batch.cost_bytes for batch in self._volatile.values()))
                self._volatile.clear()
                self._marks.clear()
                self._marked_mono = now_mono
            self._make_room(store)
            if now_mono - self._housekept_mono >= _HOUSEKEEPING_INTERVAL_SECONDS:
                self._housekept_mono = now_mono
                self._expire(store)
        except OutboxError as error:
            self._refused(error)
            return
        if self._refusing:
            self._refusing = False
            _log.info("the disk accepts the outbox again")

    def _make_room(self, store: Store) -> None:
        excess_bytes = self._totals.held_bytes - self._settings.bytes_max
        if excess_bytes <= 0:
            return
        # A little more than needed, so that not every commit has to do this.
        excess_bytes += self._settings.bytes_max // 64
        for victims in (
            store.oldest(sent=True),
            store.oldest(sent=False, rank=Rank.MEASUREMENT),
        ):
            chosen: list[Shelf] = []
            for shelf in victims:
                if excess_bytes <= 0:
                    break
                chosen.append(shelf)
                excess_bytes -= shelf.cost_bytes
            victims.close()
            self._remove(store, chosen)

    def _expire(self, store: Store) -> None:
        if not self._clock.synced():
            return
        now = self._clock.wall().timestamp()
        replayable_since = now - self._settings.replay_window_hours * _SECONDS_PER_HOUR
        worthy_since = now - self._settings.age_max_hours * _SECONDS_PER_HOUR
        self._remove(store, list(store.oldest(sent=True, before=replayable_since)))
        unsent = store.oldest(sent=False, rank=Rank.MEASUREMENT, before=worthy_since)
        self._remove(store, list(unsent))

    def _remove(self, store: Store, shelves: list[Shelf]) -> None:
        if not shelves:
            return
        lost = sum(s.count for s in shelves if not s.sent and s.key not in self._marks)
        store.delete([shelf.key for shelf in shelves], sacrificed_count=lost)
        self._marks.difference_update(shelf.key for shelf in shelves)
        self._taken.difference_update(shelf.key for shelf in shelves)
        self._count(held=-sum(s.cost_bytes for s in shelves), unsent=-lost, sacrificed=lost)
        if lost:
            _log.warning("outbox is full or too old: gave up %d measurements", lost)

    def _bound_memory(self) -> None:
        excess = sum(batch.count for batch in self._volatile.values()) - self._settings.pending_max
        for key, batch in list(self._volatile.items()):
            if excess <= 0:
                return
            if batch.rank is Rank.MEASUREMENT:
                del self._volatile[key]
                self._taken.discard(key)
                excess -= batch.count
                self._count(unsent=-batch.count, sacrificed=batch.count)

    def _refused(self, error: OutboxError) -> None:
        if not self._refusing:
            _log.error("outbox holds messages in memory only: %s", error)
        self._refusing = True
        if isinstance(error, StoreDamagedError) and self._store:
            self._damage = str(error)
            self._shut()
        if isinstance(error, StoreReadOnlyError):
            # Left open till the next commit: what is on the disk can still be read and sent.
            self._read_only = True

    def _shut(self) -> None:
        if self._store:
            self._store.close()
        self._store = None
        self._read_only = False

    def _count(self, *, held: int = 0, unsent: int = 0, sacrificed: int = 0) -> None:
        self._totals = Totals(
            self._totals.held_bytes + held,
            self._totals.unsent_count + unsent,
            self._totals.sacrificed_count + sacrificed,
        )
