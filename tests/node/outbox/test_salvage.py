"""A salvage may be cut off at any moment, or find no room: no message that was readable is lost."""

import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import pytest
from services.small_disk import fill

from node.clock import FakeClock
from node.errors import OutboxError
from node.messages import Health, OutboxDamaged, decode_data
from node.outbox import salvage, store
from node.outbox.batch import Rank
from node.outbox.outbox import Outbox
from node.settings import Outbox as OutboxSettings

if TYPE_CHECKING:
    from _typeshed import TraceFunction

BATCHES = 40
BATCH_MESSAGES = 50
PAGE_BYTES = 4096
FOUND = "found while it was read"


def open_outbox(file: Path, boot: int) -> Outbox:
    clock = FakeClock(wall=datetime(2026, 5, 1, tzinfo=UTC), synced=True)
    return Outbox(file, OutboxSettings(), node="taman", boot=f"{boot:016x}", clock=clock)


def write(outbox: Outbox, batches: int) -> None:
    for _ in range(batches):
        for number in range(BATCH_MESSAGES):
            outbox.put(Rank.MEASUREMENT, "health", Health(load_1min=number / 7))
        outbox.commit()


def copied(file: Path, directory: Path) -> Path:
    shutil.copytree(file.parent, directory)
    return directory / file.name


def held(file: Path) -> tuple[set[tuple[str, int]], list[OutboxDamaged]]:
    """Return what an agent that starts now sends, and what it says of damage."""
    outbox = open_outbox(file, 0xBB)
    numbers, damage = set(), []
    for _ in range(3):  # damage may be met while sending; the next commit salvages, one more tells
        outbox.commit()
        while delivery := outbox.take_history():
            outbox.acknowledge(delivery)
            for envelope in delivery.envelopes:
                if envelope.kind == "health":
                    numbers.add((envelope.boot, envelope.seq))
                else:
                    damage.append(decode_data(envelope, OutboxDamaged))
    outbox.close()
    return numbers, damage


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Return a file with a broken page, whose newest batches are in the log of a killed agent."""
    file = tmp_path / "before" / "outbox.db"
    outbox = open_outbox(file, 1)
    write(outbox, BATCHES)
    outbox.close()
    write(open_outbox(file, 2), BATCHES // 4)
    copy = copied(file, tmp_path / "damaged")
    assert copy.with_name("outbox.db-wal").stat().st_size > 0
    with copy.open("r+b") as raw:
        raw.seek(copy.stat().st_size // 2 // PAGE_BYTES * PAGE_BYTES)
        raw.write(os.urandom(PAGE_BYTES))
    return copy


@contextmanager
def every_line(modules: tuple[str, ...], call: Callable[[], None]) -> Iterator[None]:
    """Call `call` before every line of these files that is run."""

    def trace(frame: FrameType, _event: str, _value: object) -> "TraceFunction | None":
        if frame.f_code.co_filename not in modules:
            return None
        call()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def test_a_salvage_that_is_cut_off_at_any_moment_loses_nothing(
    tmp_path: Path, damaged: Path
) -> None:
    moments: dict[tuple[tuple[str, bytes], ...], Path] = {}

    def keep() -> None:
        # What a process that is killed now leaves behind; the shared memory says nothing of it.
        files = {part.name: part.read_bytes() for part in sorted(damaged.parent.iterdir())}
        kept = tuple((name, data) for name, data in files.items() if not name.endswith("-shm"))
        if kept in moments:
            return
        moments[kept] = tmp_path / f"moment-{len(moments)}" / damaged.name
        moments[kept].parent.mkdir()
        for name, data in files.items():
            moments[kept].with_name(name).write_bytes(data)

    with every_line((salvage.__file__, store.__file__), keep):
        opened, _ = salvage.open_store(damaged, damage=FOUND)
        opened.close()
    keep()
    expected, _ = held(damaged)
    newest = {(f"{2:016x}", seq + 1) for seq in range(BATCHES // 4 * BATCH_MESSAGES)}
    assert newest < expected
    assert len(expected) >= BATCHES * BATCH_MESSAGES
    assert len(moments) >= 8
    for moment in moments.values():
        names = sorted(part.name for part in moment.parent.iterdir())
        assert held(moment)[0] >= expected, names


def test_a_salvage_that_was_cut_off_before_its_last_step_is_told(damaged: Path) -> None:
    log = damaged.with_name("outbox.db-wal")
    pages = log.read_bytes()
    opened, told = salvage.open_store(damaged, damage=FOUND)
    opened.close()
    assert told
    damaged.rename(damaged.with_name("outbox.db.new"))
    log.write_bytes(pages)  # could not be folded into the damaged file, and was not moved yet
    numbers, (event,) = held(damaged)
    assert event.salvaged_count == len(numbers) == told[1]
    assert "cut off" in event.reason
    assert not damaged.with_name("outbox.db.new").exists()


def test_a_file_that_cannot_be_read_now_is_not_taken_for_empty(
    damaged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, timeout=0))
    with closing(sqlite3.connect(damaged)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OutboxError, match="locked"):
            salvage.open_store(damaged, damage=FOUND)
    opened, told = salvage.open_store(damaged, damage=FOUND)
    opened.close()
    assert told
    assert told[1] >= BATCHES * BATCH_MESSAGES


@pytest.mark.parametrize("logged", [True, False])
def test_a_salvage_that_finds_no_room_is_made_when_there_is(
    tmp_path: Path, damaged: Path, small_disk: Path, *, logged: bool
) -> None:
    if not logged:
        store.Store(damaged).close()  # folds the log in
    assert damaged.with_name("outbox.db-wal").exists() is logged
    expected, _ = held(copied(damaged, tmp_path / "sound"))
    outcomes = set()
    for room_bytes in range(0, 256 * 1024, 8 * 1024):  # each step of a salvage finds the disk full
        file = copied(damaged, small_disk / "state")
        hog = fill(small_disk)
        os.truncate(hog, max(0, hog.stat().st_size - room_bytes))
        outbox = open_outbox(file, 0xBB)
        for _ in range(3):
            outbox.commit()
            while outbox.take_history():
                pass  # meets the broken page
        outcomes.add(outbox.figures().volatile)
        hog.unlink()
        outbox.close()
        assert held(file)[0] >= expected, room_bytes
        shutil.rmtree(file.parent)
    assert outcomes == {True, False}
