"""Exactly once, holes and gone ranges, on both databases against a plain model."""

import tempfile
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hub.errors import SettingsError, StoreUnavailableError
from hub.store import (
    Arrival,
    Database,
    Hole,
    holes,
    incomplete_boots,
    newest,
    note_gone,
    note_ledger,
    open_database,
    store,
)
from hub.store.schema import schema_version
from node.messages import BootLedger, Envelope, Seqs

NODE = "adam-malik"
BOOT = "00000000000000aa"
NOW = datetime(2026, 5, 1, tzinfo=UTC)


def arrival(seq: int, *, boot: str = BOOT, node: str = NODE, **changes: object) -> Arrival:
    fields: dict[str, object] = {
        "node": node, "boot": boot, "seq": seq, "at": NOW, "mono": 1.0, "clock_synced": True,
        "historical": False, "kind": "wifi", "data": msgspec.Raw(b"{}"),
    }  # fmt: skip
    envelope = Envelope(**{**fields, **changes})  # type: ignore[arg-type]
    return Arrival(envelope, NOW + timedelta(seconds=min(seq, 10**6)))


def gone(*ranges: tuple[int, int]) -> list[Seqs]:
    return [Seqs(first=first, last=last) for first, last in ranges]


def lacking(database: Database, *nodes: str, count_max: int = 100) -> dict[tuple[str, str], int]:
    return incomplete_boots(database, nodes or [NODE], count_max=count_max)


def test_a_duplicate_is_stored_once(database: Database) -> None:
    assert store(database, [arrival(1), arrival(1), arrival(2)]) == 2
    assert store(database, [arrival(2), arrival(1)]) == 0
    assert holes(database, NODE) == []


def test_holes_at_head_middle_and_known_tail(database: Database) -> None:
    store(database, [arrival(seq) for seq in (3, 4, 7)])
    note_ledger(database, [(NODE, BootLedger(boot=BOOT, last_seq=9))], at=NOW)
    assert holes(database, NODE) == [Hole(BOOT, 1, 2), Hole(BOOT, 5, 6), Hole(BOOT, 8, 9)]
    assert lacking(database) == {(NODE, BOOT): 6}


def test_a_boot_of_which_nothing_arrived_is_one_hole(database: Database) -> None:
    note_ledger(database, [(NODE, BootLedger(boot=BOOT, last_seq=5))], at=NOW)
    assert holes(database, NODE) == [Hole(BOOT, 1, 5)]


def test_a_ledger_that_is_behind_changes_nothing(database: Database) -> None:
    store(database, [arrival(seq) for seq in (1, 2, 3)])
    note_ledger(database, [(NODE, BootLedger(boot=BOOT, last_seq=2))], at=NOW)
    assert holes(database, NODE) == []


def test_gone_closes_only_what_is_missing_and_only_once(database: Database) -> None:
    store(database, [arrival(seq) for seq in (1, 5, 9)])
    for _ in range(2):
        note_gone(database, NODE, BOOT, gone((1, 6), (20, 30)))
    assert holes(database, NODE) == [Hole(BOOT, 6 + 1, 8)]
    assert lacking(database) == {(NODE, BOOT): 2}


def test_what_was_called_gone_is_stored_when_it_comes_after_all(database: Database) -> None:
    store(database, [arrival(seq) for seq in (1, 9)])
    note_gone(database, NODE, BOOT, gone((2, 8)))
    assert store(database, [arrival(5)]) == 1
    assert holes(database, NODE) == []
    store(database, [arrival(12)])
    assert holes(database, NODE) == [Hole(BOOT, 10, 11)]


def test_nodes_and_boots_are_kept_apart(database: Database) -> None:
    other = "00000000000000bb"
    store(database, [arrival(2), arrival(1, boot=other), arrival(3, node="taman-bunga")])
    assert holes(database, NODE) == [Hole(BOOT, 1, 1)]
    assert holes(database, "taman-bunga") == [Hole(BOOT, 1, 2)]
    assert holes(database, NODE, boot_id=other) == []


def test_one_with_very_many_holes_hides_nobody_elses(database: Database) -> None:
    many = [(NODE, BootLedger(boot=f"{run:016x}", last_seq=1)) for run in range(50)]
    others = [(node, BootLedger(boot=BOOT, last_seq=2)) for node in ("taman-bunga", "pasar-horas")]
    note_ledger(database, [*many, *others], at=NOW)
    found = lacking(database, NODE, "taman-bunga", count_max=10)
    assert len(found) == 10
    assert found["taman-bunga", BOOT] == 2
    assert {node for node, _boot in found} == {NODE, "taman-bunga"}
    assert incomplete_boots(database, [], count_max=10) == {}


def test_the_largest_sequence_number_does_no_harm(database: Database) -> None:
    last = 2**63 - 1
    store(database, [arrival(1), arrival(last)])
    assert holes(database, NODE) == [Hole(BOOT, 2, last - 1)]
    note_gone(database, NODE, BOOT, gone((1, last)))
    assert lacking(database) == {}


def test_moments_come_back_in_utc(database: Database) -> None:
    local = NOW.astimezone(timezone(timedelta(hours=7)))
    store(database, [arrival(1, at=local)])
    (back,) = newest(database, "wifi")
    assert back.envelope.at == NOW
    assert back.envelope.at.utcoffset() == timedelta(0)


def test_newest_is_the_last_live_one(database: Database) -> None:
    store(
        database, [arrival(1), arrival(2), arrival(3, historical=True), arrival(4, kind="health")]
    )
    assert [each.envelope.seq for each in newest(database, "wifi")] == [2]


def test_tables_of_another_version_are_refused(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(schema_version.update().values(version=99))
    with pytest.raises(SettingsError, match="version 99"):
        database.create_tables()


def test_creating_tables_twice_is_fine(database: Database) -> None:
    store(database, [arrival(1)])
    database.create_tables()
    assert store(database, [arrival(1)]) == 0


def test_a_server_that_is_not_there_is_unavailable() -> None:
    nobody = open_database("postgresql://simpul@127.0.0.1:1/simpul", password="geheim")  # noqa: S106 - nobody's
    with pytest.raises(StoreUnavailableError) as caught:
        store(nobody, [arrival(1)])
    assert "geheim" not in str(caught.value)
    assert isinstance(caught.value, ConnectionError)


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "hub.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreUnavailableError):
        open_database(f"sqlite:///{tmp_path}/hub.db").create_tables()


@pytest.mark.parametrize("url", ["mysql://x/y", "nonsense", "postgresql://a:b@c/d"])
def test_an_impossible_address_is_a_settings_error(url: str) -> None:
    with pytest.raises(SettingsError, match=r"database\.url"):
        open_database(url)


class StoreMachine(RuleBasedStateMachine):
    """The store does what three sets do, in any order of calls."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.database = open_database(f"sqlite:///{self.directory.name}/hub.db")
        self.database.create_tables()
        self.stored: set[int] = set()
        self.gone: set[int] = set()
        self.highest = 0

    def teardown(self) -> None:
        self.database.close()
        self.directory.cleanup()

    @rule(seqs=st.lists(st.integers(1, 25), max_size=8))
    def store(self, seqs: list[int]) -> None:
        new = set(seqs) - self.stored
        assert store(self.database, [arrival(seq) for seq in seqs]) == len(new)
        self.stored |= new
        self.gone -= new
        self.highest = max([self.highest, *seqs])

    @rule(last=st.integers(0, 30))
    def ledger(self, last: int) -> None:
        note_ledger(self.database, [(NODE, BootLedger(boot=BOOT, last_seq=last))], at=NOW)
        self.highest = max(self.highest, last)

    @rule(first=st.integers(1, 30), length=st.integers(0, 10))
    def lose(self, first: int, length: int) -> None:
        note_gone(self.database, NODE, BOOT, gone((first, first + length)))
        claimed = set(range(first, min(first + length, self.highest) + 1))
        self.gone |= claimed - self.stored

    @invariant()
    def holes_are_what_is_neither_stored_nor_gone(self) -> None:
        missing = set(range(1, self.highest + 1)) - self.stored - self.gone
        amount = lacking(self.database).get((NODE, BOOT), 0)
        assert amount == len(missing)
        found = holes(self.database, NODE)
        assert {seq for hole in found for seq in range(hole.first, hole.last + 1)} == missing


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
