"""Sets a damaged outbox file aside and carries over every batch that can still be read."""

import logging
from collections.abc import Iterator
from pathlib import Path

from node.errors import OutboxError
from node.outbox.batch import Batch, Key, unpack
from node.outbox.store import Store, StoreDamagedError

_log = logging.getLogger(__name__)


def open_store(file: Path, *, damage: str = "") -> tuple[Store, tuple[str, int] | None]:
    """Open the outbox, salvaging a damaged one; `damage` says what was found broken before.

    Returns the store and, when the file was damaged, (what was wrong, messages carried over).
    Raises OutboxError when no store can be had at all: the disk is full, read-only or absent.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutboxError(f"{file.parent}: cannot be made: {error.strerror}") from error
    if damage and file.exists():
        return _salvage(file, reason=damage)
    try:
        store = Store(file)
        store.totals()  # reads every row of the index, so that damage shows here
    except StoreDamagedError as error:
        return _salvage(file, reason=str(error))
    else:
        return store, None


def _salvage(file: Path, *, reason: str) -> tuple[Store, tuple[str, int]]:
    aside = file.with_name(f"{file.name}.damaged")
    try:
        # The write-ahead log belongs to its file: both move, or the salvage reads old pages.
        for suffix in ("-wal", "-shm"):
            part = file.with_name(file.name + suffix)
            if part.exists():
                part.replace(aside.with_name(aside.name + suffix))
        file.replace(aside)
    except OSError as error:
        raise OutboxError(f"{file}: damaged, cannot be set aside: {error.strerror}") from error
    store = Store(file)
    saved = [batch for batch in _readable(aside) if _whole(batch)]
    store.write(saved, sent=())
    count = sum(batch.count for batch in saved)
    _log.warning("outbox was damaged (%s); kept as %s, %d messages saved", reason, aside, count)
    return store, (reason, count)


def _readable(aside: Path) -> Iterator[Batch]:
    """Yield batches from both ends towards the damage; which were sent is not trusted."""
    try:
        old = Store(aside)
    except OutboxError:
        return
    seen: set[Key] = set()
    try:
        for newest_first in (False, True):
            yield from _until_damage(old, seen, newest_first=newest_first)
    finally:
        old.close()


def _until_damage(old: Store, seen: set[Key], *, newest_first: bool) -> Iterator[Batch]:
    try:
        for batch in old.every(newest_first=newest_first):
            if batch.key in seen:
                return
            seen.add(batch.key)
            yield batch
    except OutboxError:
        return


def _whole(batch: Batch) -> bool:
    try:
        return len(unpack(batch.body)) == batch.count
    except ValueError:
        return False
