"""Takes what a node says about its own history: how far it counted, and what it lost."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa

from hub.store.database import Database
from hub.store.gone import read_gone, write_gone
from hub.store.holes import missing_ranges
from hub.store.keep import close_complete, count_boots
from hub.store.ranges import common
from hub.store.schema import boot
from node.messages import BootLedger, Seqs


def note_ledger(
    database: Database, ledgers: Iterable[tuple[str, BootLedger]], *, at: datetime
) -> None:
    """Note how far each run of each node counted, so that holes at the very end show too.

    `ledgers` are pairs of a node's name and one of its runs.

    Raises StoreUnavailableError or StoreRefusedError; then none is noted.
    """
    highest: dict[tuple[str, str], int] = {}
    for node, ledger in ledgers:
        key = (node, ledger.boot)
        highest[key] = max(ledger.last_seq, highest.get(key, 0))
    if not highest:
        return
    with database.transaction() as connection:
        count_boots(connection, highest, Counter(), first_seen=at)


def note_gone(database: Database, node: str, boot_id: str, ranges: Iterable[Seqs]) -> None:
    """Note that `node` no longer holds `ranges` of a boot, so that nobody asks again.

    Only numbers that are really missing are noted; noting them again changes nothing. Raises
    StoreUnavailableError or StoreRefusedError.
    """
    claimed = [(seqs.first, seqs.last) for seqs in ranges]
    if not claimed:
        return
    with database.transaction() as connection:
        row = connection.execute(
            sa.select(boot.c.complete_to, boot.c.highest).where(
                boot.c.node == node, boot.c.boot == boot_id
            )
        ).one_or_none()
        if row is None:
            return
        missing = missing_ranges(
            connection, node, boot_id, after=row.complete_to, highest=row.highest
        )
        lost = common(missing, claimed)
        if not lost:
            return
        write_gone(connection, node, boot_id, [*read_gone(connection, node, boot_id), *lost])
        close_complete(connection, [(node, boot_id)])
