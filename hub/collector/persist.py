"""Puts a batch into the database: measurements, how far nodes counted, and what they lost."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from hub.collector.intake import Answer, Item, StateChange
from hub.collector.patience import Patience
from hub.errors import StoreRefusedError
from hub.store import Arrival, Database, note_gone, note_ledger, store

_log = logging.getLogger(__name__)
_LEDGERS_MAX = 200


def persist(
    database: Database, patience: Patience, arrivals: Sequence[Arrival], items: Sequence[Item]
) -> int:
    """Return how many of `arrivals` were new, once everything is on disk.

    Raises StoppedError when told to stop before the database took it.
    """
    stored = _store(database, patience, arrivals)
    # A node says all of it again in every birth, so its last one is enough.
    births = {
        item.envelope.node: item
        for item in items
        if isinstance(item, StateChange) and item.state.ledgers
    }
    _note_ledgers(database, patience, list(births.values()))
    for item in items:
        if isinstance(item, Answer) and item.reply.ok and item.reply.gone:
            _note_gone(database, patience, item)
    return stored


def _store(database: Database, patience: Patience, arrivals: Sequence[Arrival]) -> int:
    try:
        return patience.until_done(lambda: store(database, arrivals))
    except StoreRefusedError as error:
        if len(arrivals) == 1:
            envelope = arrivals[0].envelope
            _log.error(
                "given up: %s %s seq %d: %s", envelope.node, envelope.boot, envelope.seq, error
            )
            return 0
    # One bad message must not hold up the others: halve the batch until it stands alone.
    middle = len(arrivals) // 2
    return _store(database, patience, arrivals[:middle]) + _store(
        database, patience, arrivals[middle:]
    )


def _note_ledgers(database: Database, patience: Patience, births: Sequence[StateChange]) -> None:
    # The newest runs stand last; older ones come up when the node has let go of newer ones.
    ledgers = [
        (birth.envelope.node, ledger)
        for birth in births
        for ledger in birth.state.ledgers[-_LEDGERS_MAX:]
    ]
    now = datetime.now(UTC)
    try:
        patience.until_done(lambda: note_ledger(database, ledgers, at=now))
    except StoreRefusedError as error:
        if len(births) == 1:
            _log.error("given up: ledgers of %s: %s", births[0].envelope.node, error)
            return
        for birth in births:
            _note_ledgers(database, patience, [birth])


def _note_gone(database: Database, patience: Patience, answer: Answer) -> None:
    reply = answer.reply
    try:
        patience.until_done(lambda: note_gone(database, answer.node, reply.boot, reply.gone))
    except StoreRefusedError as error:
        _log.error("given up: what %s no longer holds: %s", answer.node, error)
        return
    _log.info("%s no longer holds %d ranges of boot %s", answer.node, len(reply.gone), reply.boot)
