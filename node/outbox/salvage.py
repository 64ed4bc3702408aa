"""Sets a damaged outbox file aside and carries over every batch that can still be read."""

import logging
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from node.durable import fsync_directory
from node.errors import OutboxError
from node.outbox.batch import Batch, Key, unpack
from node.outbox.store import Store, StoreDamagedError

_COMPANIONS = ("-wal", "-shm")  # what SQLite keeps beside a file
_log = logging.getLogger(__name__)


def open_store(file: Path, *, damage: str = "") -> tuple[Store, tuple[str, int] | None]:
    """Open the outbox, salvaging a damaged one; `damage` says what was found broken before.

    Returns the store and, when the file was damaged, (what was wrong, messages carried over).
    Raises OutboxError when no store can be had at all: the disk is full, read-only or absent.
    """
    new = _beside(file, ".new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        present, salvaged = file.exists(), new.exists()
    except OSError as error:
        raise OutboxError(f"{file.parent}: cannot be made or used: {error.strerror}") from error
    if salvaged and not present:
        return _taken(new, file, reason=damage or "a salvage was cut off before its last step")
    if not damage or not present:
        try:
            return _checked(file), None
        except StoreDamagedError as error:
            damage = str(error)
    _salvage(file, new)
    return _taken(new, file, reason=damage)


def _checked(file: Path) -> Store:
    """Open a store and read every row of its index, so that damage shows here."""
    store = Store(file)
    try:
        store.totals()
    except OutboxError:
        # Left open it would, when it is closed at last, delete the log of the file that has the
        # name by then.
        store.close()
        raise
    return store


def _salvage(file: Path, new: Path) -> None:
    """Write what can be read of `file`, which stays where it is, to `new`."""
    try:
        _remove(new)  # of a salvage that was cut off
        # What an earlier damage left is in `file` since; the card may not have room for three.
        _remove(_aside(file))
    except OSError as error:
        raise OutboxError(f"{file}: damaged, cannot be salvaged: {error.strerror}") from error
    saved = [batch for batch in _readable(file) if _whole(batch)]
    try:
        _write(new, saved)
    except OutboxError:
        with suppress(OSError):  # a full disk has better uses than half a salvage
            _remove(new)
        raise


def _write(new: Path, saved: list[Batch]) -> None:
    with closing(Store(new)) as store:
        store.write(saved, sent=())
    # To close folds the write-ahead log into its file and removes it; a full disk prevents that
    # without a word.
    if _beside(new, "-wal").exists():
        raise OutboxError(f"{new}: cannot be completed; check the disk's space")


def _taken(new: Path, file: Path, *, reason: str) -> tuple[Store, tuple[str, int]]:
    """Put the finished `new` in the place of the damaged `file`, also where that was begun before.

    Whatever is cut off: the damaged file keeps its name until `new` is on the medium, and a missing
    `file` says from then on that `new` is finished.
    """
    aside = _aside(file)
    try:
        fsync_directory(file.parent)
        if file.exists():
            file.replace(aside)
        # The log belongs to the damaged file: left here, it would be read into the new one.
        for suffix in _COMPANIONS:
            if _beside(file, suffix).exists():
                _beside(file, suffix).replace(_beside(aside, suffix))
        fsync_directory(file.parent)
        new.replace(file)
        fsync_directory(file.parent)
    except OSError as error:
        raise OutboxError(f"{file}: damaged, cannot be set aside: {error.strerror}") from error
    store = _checked(file)
    count = store.totals().unsent_count
    _log.warning("outbox was damaged (%s); kept as %s, %d messages saved", reason, aside, count)
    return store, (reason, count)


def _aside(file: Path) -> Path:
    return _beside(file, ".damaged")


def _beside(file: Path, suffix: str) -> Path:
    return file.with_name(file.name + suffix)


def _remove(file: Path) -> None:
    for suffix in ("", *_COMPANIONS):
        _beside(file, suffix).unlink(missing_ok=True)


def _readable(damaged: Path) -> Iterator[Batch]:
    """Yield batches from both ends towards the damage; which were sent is not trusted.

    Raises OutboxError when the disk refuses: that says nothing of what can be read.
    """
    try:
        old = Store(damaged)
    except StoreDamagedError:
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
