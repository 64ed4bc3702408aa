"""The record of a rollout survives a kill at any byte, and tells when somebody changed it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provisioning.update.errors import RecordError
from provisioning.update.plan import Place, make_plan
from provisioning.update.record import Head, Record, read_record
from provisioning.update.rollout import STATES, Entry, Limits

PLAN = make_plan([Place("a", "x"), Place("b", "x"), Place("c")], seed="s")
HEAD = Head(releases={"aarch64/3.13": "ab" * 32}, plan=PLAN, limits=Limits(), who="siregar")
EVENTS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.builds(
            Entry,
            state=st.sampled_from(STATES),
            message=st.text(max_size=30),
            changed=st.booleans(),
            away=st.booleans(),
            told=st.none() | st.text(max_size=30),
        ),
    ),
    max_size=8,
)


def written(file: Path, events: list[tuple[str, Entry]]) -> dict[str, Entry]:
    file.unlink(missing_ok=True)
    with Record(file) as record:
        record.begin(HEAD)
        for node, entry in events:
            record.set(node, entry)
        record.note("paused")
        return dict(record.entries)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(events=EVENTS)
def test_what_is_written_is_read(tmp_path: Path, events: list[tuple[str, Entry]]) -> None:
    entries = written(tmp_path / "r", events)
    with Record(tmp_path / "r") as record:
        assert record.entries == entries
        assert record.begun() == HEAD
        assert record.notes == ["paused"]


def test_cut_anywhere_it_is_the_lines_that_were_whole(tmp_path: Path) -> None:
    file = tmp_path / "r"
    written(file, [("a", Entry("in-progress")), ("a", Entry("success"))])
    whole = file.read_bytes()
    for length in range(len(whole) + 1):
        file.write_bytes(whole[:length])
        lines = whole[:length].count(b"\n")
        with Record(file) as record:
            assert (record.head is not None) == (lines > 0)
            if lines == 2:
                assert record.entries["a"] == Entry("in-progress")
            if lines:
                record.set("b", Entry("success"))
        with Record(file) as record:  # what was added follows what was there
            assert not lines or record.entries["b"] == Entry("success")


def test_a_changed_or_missing_line_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "r"
    written(file, [("a", Entry("failed", "it burnt")), ("b", Entry("success"))])
    lines = file.read_bytes().splitlines(keepends=True)
    for changed in (
        [lines[0], lines[2], lines[3]],
        [lines[0], lines[1].replace(b"it burnt", b"all well"), *lines[2:]],
        [*lines[1:]],
    ):
        file.write_bytes(b"".join(changed))
        with pytest.raises(RecordError, match="tampered with"):
            Record(file)
    file.write_bytes(b"not a record\n")
    with pytest.raises(RecordError, match="no record of a rollout"):
        Record(file)


def test_one_program_at_a_time(tmp_path: Path) -> None:
    with Record(tmp_path / "r"), pytest.raises(RecordError, match="another program runs this"):
        Record(tmp_path / "r")
    with Record(tmp_path / "r") as record:
        record.begin(HEAD)
        with pytest.raises(RecordError, match="resume it, or name another"):
            record.begin(HEAD)
    with Record(tmp_path / "new") as record, pytest.raises(RecordError, match="was begun there"):
        record.begun()


def test_turns_that_write_at_once_do_not_break_the_chain(tmp_path: Path) -> None:
    with Record(tmp_path / "r") as record, ThreadPoolExecutor(max_workers=3) as pool:
        record.begin(HEAD)
        told = [Entry("in-progress", told=str(number)) for number in range(30)]
        ended = [pool.submit(record.set, name, entry) for entry in told for name in "abc"]
        assert [each.result() for each in ended] == [None] * 90
    assert {name: entry.state for name, entry in read_record(tmp_path / "r").entries.items()} == (
        dict.fromkeys("abc", "in-progress")
    )


@pytest.mark.parametrize("cut_off", [KeyboardInterrupt, OSError(5, "Input/output error")])
def test_what_is_cut_off_at_its_end_does_not_break_the_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut_off: BaseException
) -> None:
    def interrupted(_: int) -> None:
        raise cut_off

    with Record(tmp_path / "r") as record:
        record.begin(HEAD)
        monkeypatch.setattr("os.fsync", interrupted)
        with pytest.raises((KeyboardInterrupt, RecordError)):
            record.set("a", Entry("in-progress"))
        monkeypatch.undo()
        record.set("b", Entry("success"))
    told = read_record(tmp_path / "r")
    assert (told.entries["a"].state, told.entries["b"].state) == ("pending", "success")
