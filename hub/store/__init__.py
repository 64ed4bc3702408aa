"""Keeps every measurement exactly once, and knows which ones are missing."""

from hub.store.database import Database, open_database
from hub.store.forget import Mark, forget_old
from hub.store.holes import holes, incomplete_boots
from hub.store.keep import Arrival, store
from hub.store.ledger import note_gone, note_ledger
from hub.store.newest import newest
from hub.store.ranges import Hole

__all__ = [
    "Arrival",
    "Database",
    "Hole",
    "Mark",
    "forget_old",
    "holes",
    "incomplete_boots",
    "newest",
    "note_gone",
    "note_ledger",
    "open_database",
    "store",
]
