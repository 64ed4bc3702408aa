"""The outbox keeps what it took, within its bounds, through every trouble of its disk."""

import os
import shutil
import sqlite3
import subprocess
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from node.clock import FakeClock
from node.errors import OutboxError
from node.messages import Health, OutboxDamaged, Seqs, decode_data
from node.outbox.batch import Rank
from node.outbox.outbox import Delivery, Outbox
from node.settings import Outbox as OutboxSettings

BOOT = "00000000000000aa"


def open_outbox(
    file: Path, clock: FakeClock, *, boot: str = BOOT, settings: OutboxSettings | None = None
) -> Outbox:
    return Outbox(file, settings or OutboxSettings(), node="taman", boot=boot, clock=clock)


def put(outbox: Outbox, count: int = 1, *, rank: Rank = Rank.MEASUREMENT) -> None:
    for number in range(count):
        if rank is Rank.EVENT:
            outbox.put(rank, "event/outbox-damaged", OutboxDamaged(reason="x", salvaged_count=0))
        else:
            outbox.put(rank, "health", Health(load_1min=number / 7, uptime_seconds=number * 1.3))


def drain(outbox: Outbox, *, acknowledge: bool = True) -> list[Delivery]:
    deliveries = []
    while delivery := outbox.take_fresh() or outbox.take_history():
        deliveries.append(delivery)
        if acknowledge:
            outbox.acknowledge(delivery)
    return deliveries


def seqs(deliveries: list[Delivery]) -> list[int]:
    return [envelope.seq for delivery in deliveries for envelope in delivery.envelopes]


def remount(disk: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(disk)], check=True)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(wall=datetime(2026, 5, 1, tzinfo=UTC), synced=True)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.db"


def test_numbers_run_from_one_without_holes_over_commits(file: Path, clock: FakeClock) -> None:
    outbox = open_outbox(file, clock)
    for _ in range(3):
        put(outbox, 4)
        put(outbox, rank=Rank.EVENT)
        outbox.commit()
    assert sorted(seqs(drain(outbox))) == list(range(1, 16))


def test_what_was_committed_outlives_the_process(file: Path, clock: FakeClock) -> None:
    outbox = open_outbox(file, clock)
    put(outbox, 5)
    outbox.commit()
    again = open_outbox(file, clock, boot="00000000000000bb")
    again.commit()
    assert seqs(drain(again)) == [1, 2, 3, 4, 5]
    assert [ledger.last_seq for ledger in again.ledgers()] == [5, 0]


def test_fresh_goes_before_history_and_history_is_marked(file: Path, clock: FakeClock) -> None:
    outbox = open_outbox(file, clock)
    put(outbox, 2)
    outbox.commit()
    outbox.attach(lambda: None)
    put(outbox, 2)
    outbox.commit()
    fresh, old = drain(outbox)
    assert [(e.seq, e.historical) for e in fresh.envelopes] == [(3, False), (4, False)]
    assert [(e.seq, e.historical) for e in old.envelopes] == [(1, True), (2, True)]


def test_events_of_the_past_go_before_measurements(file: Path, clock: FakeClock) -> None:
    outbox = open_outbox(file, clock)
    put(outbox, 2)
    outbox.commit()
    put(outbox, rank=Rank.EVENT)
    outbox.commit()
    assert seqs(drain(outbox)) == [3, 1, 2]


def test_an_unacknowledged_delivery_comes_back_after_the_connection(
    file: Path, clock: FakeClock
) -> None:
    outbox = open_outbox(file, clock)
    outbox.attach(lambda: None)
    put(outbox, 3)
    outbox.commit()
    drain(outbox, acknowledge=False)
    assert drain(outbox) == []
    outbox.detach()
    assert seqs(drain(outbox)) == [1, 2, 3]
    assert outbox.figures().unsent_count == 0


def test_a_late_acknowledgement_of_a_lost_connection_counts_once(
    file: Path, clock: FakeClock
) -> None:
    outbox = open_outbox(file, clock)
    put(outbox, 3)
    outbox.commit()
    (delivery,) = drain(outbox, acknowledge=False)
    outbox.detach()
    outbox.acknowledge(delivery)
    assert outbox.figures().unsent_count == 3


def test_an_acknowledgement_survives_a_restart(file: Path, clock: FakeClock) -> None:
    outbox = open_outbox(file, clock)
    put(outbox, 3)
    outbox.commit()
    drain(outbox)
    outbox.close()
    again = open_outbox(file, clock, boot="00000000000000bb")
    again.commit()
    assert drain(again) == []
    assert again.figures().unsent_count == 0


def test_replay_sends_again_and_names_what_is_gone(file: Path, clock: FakeClock) -> None:
    outbox = open_outbox(file, clock)
    put(outbox, 4)
    outbox.commit()
    drain(outbox)
    outbox.commit()
    assert outbox.replay(BOOT, 2, 9) == ()  # 5 to 9 were never given out
    assert seqs(drain(outbox)) == [1, 2, 3, 4]
    assert outbox.replay("00000000000000ff", 1, 3) == (Seqs(first=1, last=3),)
    assert drain(outbox) == []


def test_a_replay_of_what_was_never_sent_waits_for_its_own_turn(
    file: Path, clock: FakeClock
) -> None:
    outbox = open_outbox(file, clock)
    put(outbox, 2)
    outbox.commit()
    assert outbox.replay(BOOT, 1, 2) == ()
    assert seqs(drain(outbox)) == [1, 2]


def test_the_replay_window_ends(file: Path, clock: FakeClock) -> None:
    outbox = open_outbox(file, clock, settings=OutboxSettings(replay_window_hours=1))
    put(outbox, 2)
    outbox.commit()
    drain(outbox)
    clock.advance(3700)
    put(outbox, 1)
    outbox.commit()
    assert outbox.replay(BOOT, 1, 3) == (Seqs(first=1, last=2),)
    assert outbox.figures().sacrificed_count == 0


def test_a_clock_that_jumps_from_1970_expires_nothing(file: Path) -> None:
    clock = FakeClock()
    outbox = open_outbox(file, clock)
    put(outbox, 3)
    outbox.commit()
    clock.advance(120)
    clock.set_wall(datetime(2026, 5, 1, tzinfo=UTC))
    outbox.commit()
    assert seqs(drain(outbox)) == [1, 2, 3]


def test_unsent_measurements_expire_by_age_but_events_never(file: Path, clock: FakeClock) -> None:
    outbox = open_outbox(file, clock, settings=OutboxSettings(age_max_hours=1))
    put(outbox, 2)
    put(outbox, rank=Rank.EVENT)
    outbox.commit()
    clock.advance(3700)
    outbox.commit()
    deliveries = drain(outbox)
    assert [e.kind for d in deliveries for e in d.envelopes] == ["event/outbox-damaged"]
    assert outbox.figures().sacrificed_count == 2


def test_a_day_without_uplink_stays_within_its_bounds(file: Path, clock: FakeClock) -> None:
    settings = OutboxSettings(bytes_max=262_144)
    outbox = open_outbox(file, clock, settings=settings)
    put(outbox, 3, rank=Rank.EVENT)
    for _ in range(24 * 60):
        clock.advance(60)
        put(outbox, 10)
        outbox.commit()
        assert outbox.figures().held_bytes <= settings.bytes_max
    figures = outbox.figures()
    assert file.stat().st_size <= settings.bytes_max * 2
    assert figures.unsent_count + figures.sacrificed_count == 24 * 60 * 10 + 3
    assert figures.sacrificed_count > 0
    outbox.attach(lambda: None)
    put(outbox, 1)
    outbox.commit()
    deliveries = drain(outbox)
    assert not deliveries[0].envelopes[0].historical
    kept = seqs(deliveries)
    assert {1, 2, 3} <= set(kept)
    newest = sorted(kept)[3:]
    assert newest == list(range(newest[0], newest[-1] + 1)), "the oldest go first"


def test_sent_messages_make_room_before_unsent_ones(file: Path, clock: FakeClock) -> None:
    settings = OutboxSettings(bytes_max=262_144)
    outbox = open_outbox(file, clock, settings=settings)
    for _ in range(100):
        put(outbox, 512)
        outbox.commit()
        drain(outbox)
    assert outbox.figures().sacrificed_count == 0
    assert outbox.figures().held_bytes <= settings.bytes_max


def test_more_than_memory_may_hold_drops_the_oldest_measurements(
    file: Path, clock: FakeClock
) -> None:
    outbox = open_outbox(file, clock, settings=OutboxSettings(pending_max=100))
    put(outbox, 250)
    put(outbox, 2, rank=Rank.EVENT)
    outbox.commit()
    assert outbox.figures().unrecorded_count == 150
    deliveries = drain(outbox)
    assert sorted(seqs(deliveries)) == list(range(1, 103)), "what was dropped had no number yet"


def test_the_writer_commits_an_event_at_once(file: Path, clock: FakeClock) -> None:
    outbox = open_outbox(file, clock, settings=OutboxSettings(commit_interval_seconds=60))
    ready, stop = threading.Event(), threading.Event()
    outbox.attach(ready.set)
    writer = threading.Thread(target=outbox.run, args=(stop,))
    writer.start()
    put(outbox, rank=Rank.EVENT)
    assert ready.wait(5)
    stop.set()
    outbox.hurry()
    writer.join(5)
    assert not writer.is_alive()
    outbox.close()


class TestTroubledDisk:
    """A disk that refuses costs durability for a while, and nothing else."""

    @pytest.fixture
    def blocked(self, tmp_path: Path) -> Path:
        (tmp_path / "wall").write_text("a file where a folder should be")
        return tmp_path / "wall" / "outbox.db"

    def test_messages_go_out_from_memory(self, blocked: Path, clock: FakeClock) -> None:
        outbox = open_outbox(blocked, clock)
        outbox.attach(lambda: None)
        put(outbox, 3)
        outbox.commit()
        assert outbox.figures().volatile
        assert seqs(drain(outbox)) == [1, 2, 3]
        assert outbox.figures().unsent_count == 0

    def test_memory_is_bounded(self, blocked: Path, clock: FakeClock) -> None:
        outbox = open_outbox(blocked, clock, settings=OutboxSettings(pending_max=100))
        for _ in range(10):
            put(outbox, 50)
            outbox.commit()
        assert seqs(drain(outbox)) == list(range(401, 501))
        assert outbox.figures().sacrificed_count == 400

    def test_replay_is_refused_rather_than_called_gone(
        self, blocked: Path, clock: FakeClock
    ) -> None:
        outbox = open_outbox(blocked, clock)
        outbox.commit()
        with pytest.raises(OutboxError, match="ask again"):
            outbox.replay("00000000000000bb", 1, 5)

    def test_a_disk_that_works_again_gets_everything(self, blocked: Path, clock: FakeClock) -> None:
        outbox = open_outbox(blocked, clock)
        put(outbox, 3)
        outbox.commit()
        blocked.parent.unlink()
        put(outbox, 2)
        outbox.commit()
        assert not outbox.figures().volatile
        outbox.close()
        again = open_outbox(blocked, clock, boot="00000000000000bb")
        again.commit()
        assert seqs(drain(again)) == [1, 2, 3, 4, 5]

    def test_a_full_disk(self, small_disk: Path, clock: FakeClock) -> None:
        outbox = open_outbox(small_disk / "outbox.db", clock)
        put(outbox, 2)
        outbox.commit()
        hog = small_disk / "hog"
        with hog.open("wb") as file:
            try:
                while True:
                    file.write(b"\0" * 65_536)
                    file.flush()
            except OSError:
                pass
        for _ in range(200):
            put(outbox, 50)
            outbox.commit()
        assert outbox.figures().volatile
        hog.unlink()
        outbox.commit()
        assert not outbox.figures().volatile
        assert sorted(seqs(drain(outbox))) == list(range(1, 10_003))

    def test_a_disk_that_was_read_only_when_the_outbox_was_opened(
        self, file: Path, small_disk: Path, clock: FakeClock
    ) -> None:
        killed = open_outbox(file, clock)
        put(killed, 4)
        killed.commit()
        for part in file.parent.iterdir():  # the log too: without it nothing opens read-only
            shutil.copy(part, small_disk)
        remount(small_disk, "ro")
        outbox = open_outbox(small_disk / "outbox.db", clock, boot="00000000000000bb")
        put(outbox, 2)
        outbox.commit()
        assert outbox.figures().volatile
        assert outbox.figures().unsent_count == 6
        assert len(seqs(drain(outbox))) == 6
        for _ in range(2):
            put(outbox, 3)
            outbox.commit()
        assert outbox.figures().unsent_count == 6, "what was acknowledged is not counted anew"
        assert outbox.replay(BOOT, 1, 5) == (Seqs(first=5, last=5),)
        again = outbox.take_history()
        assert again
        assert again.replayed
        assert seqs([again]) == [1, 2, 3, 4]
        remount(small_disk, "rw")
        outbox.commit()
        assert not outbox.figures().volatile
        assert outbox.figures().unsent_count == 6
        outbox.close()
        later = open_outbox(small_disk / "outbox.db", clock, boot="00000000000000cc")
        later.commit()
        assert seqs(drain(later)) == [3, 4, 5, 6, 7, 8]


class TestDamage:
    """A damaged file is set aside, reported, and gives back what is readable."""

    def filled(self, file: Path, clock: FakeClock) -> None:
        outbox = open_outbox(file, clock)
        for _ in range(40):
            put(outbox, 100)
            outbox.commit()
        outbox.close()
        with sqlite3.connect(file) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()

    def reopened(self, file: Path, clock: FakeClock) -> Outbox:
        outbox = open_outbox(file, clock, boot="00000000000000bb")
        outbox.commit()
        outbox.commit()
        return outbox

    def test_garbage_instead_of_a_database(self, file: Path, clock: FakeClock) -> None:
        file.parent.mkdir()
        file.write_bytes(b"no database" * 1000)
        outbox = self.reopened(file, clock)
        (delivery,) = drain(outbox)
        event = decode_data(delivery.envelopes[0], OutboxDamaged)
        assert event.salvaged_count == 0
        assert "not a database" in event.reason
        assert file.with_name("outbox.db.damaged").exists()

    def test_a_broken_page_costs_only_its_own_messages(self, file: Path, clock: FakeClock) -> None:
        self.filled(file, clock)
        size = file.stat().st_size
        with file.open("r+b") as raw:
            raw.seek(size // 2 // 4096 * 4096)
            raw.write(os.urandom(4096))
        outbox = self.reopened(file, clock)
        deliveries = drain(outbox)  # meets the broken page
        outbox.commit()  # salvages
        outbox.commit()  # tells of it
        deliveries += drain(outbox)
        envelopes = [envelope for delivery in deliveries for envelope in delivery.envelopes]
        kept = {envelope.seq for envelope in envelopes if envelope.boot == BOOT}
        assert "event/outbox-damaged" in {envelope.kind for envelope in envelopes}
        assert 3_000 <= len(kept) < 4_000

    def test_a_cut_off_file(self, file: Path, clock: FakeClock) -> None:
        self.filled(file, clock)
        with file.open("r+b") as raw:
            raw.truncate(file.stat().st_size // 2 // 4096 * 4096)
        outbox = self.reopened(file, clock)
        put(outbox, 1)
        outbox.commit()
        assert "health" in {e.kind for d in drain(outbox) for e in d.envelopes}

    def test_the_whole_of_a_sound_file_is_kept(self, file: Path, clock: FakeClock) -> None:
        self.filled(file, clock)
        assert len(seqs(drain(self.reopened(file, clock)))) == 4_000
        assert not file.with_name("outbox.db.damaged").exists()
