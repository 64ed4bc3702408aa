"""Closes what a test left open on purpose, as the kernel does for a process that is killed."""

import sqlite3
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def outbox_files_are_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close every SQLite connection that the test opened."""
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def remembered(*arguments: object, **options: object) -> sqlite3.Connection:
        opened.append(connect(*arguments, **options))  # type: ignore[call-overload]
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", remembered)
    yield
    for connection in opened:
        connection.close()
