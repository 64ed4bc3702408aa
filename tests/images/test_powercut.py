"""The power-cut tool: its parser, its states, its disks, and a real ext4 with and without fsync."""

import itertools
import struct
import subprocess
import tempfile
from collections import Counter
from collections.abc import Hashable  # noqa: TC003 - beside what is used at run time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from services.guest import Drive, run_in_guest, why_no_guest
from services.powercut import replay, sparse_copy
from services.powercut_ext4 import Ext4Error, read, recover
from services.powercut_log import Entry, Flag, LogError, read_log
from services.powercut_states import EXHAUSTIVE_MAX, Kind, epochs, states

SECTOR = 512
DISK_SECTORS = 40
NONE = Flag(0)

WRITES = st.tuples(
    st.sampled_from([NONE, Flag.FUA, Flag.FLUSH, Flag.FLUSH | Flag.FUA, Flag.DISCARD]),
    st.integers(0, DISK_SECTORS - 1),
    st.integers(1, 20),
    st.integers(1, 255),
)
FLUSHES = st.just((Flag.FLUSH, 0, 0, 0))
MARKS = st.just((Flag.MARK, 0, 0, 0))
LOGS = st.lists(st.one_of(WRITES, WRITES, FLUSHES, MARKS), max_size=9)

Raw = tuple[Flag, int, int, int]


def log_bytes(entries: list[Raw]) -> bytes:
    """Return a log as the kernel's documentation lays it out."""
    parts = [struct.pack("<QQQI", 0x6A736677736872, 1, len(entries), SECTOR).ljust(SECTOR, b"\0")]
    for flags, sector, sectors, fill in entries:
        mark = b"here" if flags & Flag.MARK else b""
        header = struct.pack("<QQQQ", sector, sectors, flags, len(mark)) + mark
        parts.append(header.ljust(SECTOR, b"\0"))
        if not flags & Flag.DISCARD:
            parts.append(bytes([fill]) * SECTOR * sectors)
    return b"".join(parts)


def entry(number: int, flags: Flag = NONE, size_bytes: int = SECTOR) -> Entry:
    return Entry(number, flags, number * SECTOR, size_bytes, None)


@given(LOGS)
def test_a_log_reads_back_entry_by_entry(raw: list[Raw]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        log.write_bytes(log_bytes(raw))
        entries = read_log(log)
        content = log.read_bytes()
    assert [(e.flags, e.start_bytes, e.size_bytes) for e in entries] == [
        (flags, sector * SECTOR, sectors * SECTOR) for flags, sector, sectors, _ in raw
    ]
    assert [e.mark for e in entries] == ["here" if flags & Flag.MARK else "" for flags, *_ in raw]
    for read_entry, (*_, fill) in zip(entries, raw, strict=True):
        if read_entry.data_bytes is not None:
            end = read_entry.data_bytes + read_entry.size_bytes
            assert set(content[read_entry.data_bytes : end]) == {fill}


@given(LOGS, st.data())
def test_a_cut_log_is_refused(raw: list[Raw], data: st.DataObject) -> None:
    whole = log_bytes([*raw, (NONE, 1, 1, 7)])
    size_bytes = data.draw(st.integers(0, len(whole) - 1))
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        log.write_bytes(whole[:size_bytes])
        with pytest.raises(LogError, match=r"log: (shorter|entry \d+ of \d+)"):
            read_log(log)


@given(st.binary(min_size=28, max_size=600))
def test_what_is_no_log_is_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        log.write_bytes(content)
        with pytest.raises(LogError):
            read_log(log)


@given(st.integers(0, EXHAUSTIVE_MAX))
def test_a_short_epoch_gives_every_subset(count: int) -> None:
    kept = [state.kept for state in states([entry(n) for n in range(count)])]
    every = itertools.chain.from_iterable(
        itertools.combinations(range(count), size) for size in range(count + 1)
    )
    assert sorted(kept) == sorted(every)


@given(st.integers(EXHAUSTIVE_MAX + 1, 40))
def test_a_long_epoch_breaks_every_order_of_two_writes(count: int) -> None:
    given_states = list(states([entry(n, size_bytes=20 * SECTOR) for n in range(count)]))
    kept = {state.kept for state in given_states if not state.torn_bytes}
    for first, second in itertools.permutations(range(count), 2):
        assert any(second in each and first not in each for each in kept)
    assert {tuple(range(n)) for n in range(count + 1)} <= kept
    assert len({(s.kept, s.torn_bytes) for s in given_states}) == len(given_states)
    assert sum(s.kind is Kind.TORN for s in given_states) == count


def test_a_write_under_fua_is_there_before_any_later_one() -> None:
    writes = [entry(0), entry(1, Flag.FUA), entry(2), entry(3)]
    kept = {state.kept for state in states(writes)}
    assert all(1 in each for each in kept if each and each[-1] > 1)
    assert {(), (0,), (1,), (0, 1), (1, 2), (1, 3)} <= kept


def test_a_write_that_carries_a_flush_begins_an_epoch() -> None:
    flush = Entry(2, Flag.FLUSH, 0, 0, None)
    both = entry(3, Flag.FLUSH | Flag.FUA)
    assert [[e.number for e in each] for each in epochs([entry(0), flush, both, entry(4)])] == [
        [0],
        [],
        [3, 4],
    ]


@settings(deadline=None, max_examples=60)  # a state is a file: as slow as the machine's disk
@given(LOGS)
def test_every_disk_is_the_kept_writes_on_the_durable_ones(raw: list[Raw]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = bytes(range(DISK_SECTORS + 20)) * SECTOR
        (folder / "base").write_bytes(base)
        (folder / "log").write_bytes(log_bytes(raw))
        wanted = expected(base, read_log(folder / "log"), raw)
        region = range(4 * SECTOR, 9 * SECTOR)
        by_version: dict[Hashable, bytes] = {}
        found = []
        for crash in replay(folder / "base", folder / "log", folder, {"region": region}):
            content = crash.disk.read_bytes()
            found.append(content)
            part = content[region.start : region.stop]
            assert by_version.setdefault(crash.versions["region"], part) == part
    assert found == wanted


def expected(base: bytes, entries: list[Entry], raw: list[Raw]) -> list[bytes]:
    """Apply each state by the simplest means."""
    disks = []
    durable = base
    for number, writes in enumerate(epochs(entries)):
        for state in [*states(writes, seed=number), None]:
            kept = range(len(writes)) if state is None else state.kept
            disk = bytearray(durable)
            for index in kept:
                write = writes[index]
                fill = 0 if write.flags & Flag.DISCARD else raw[write.number][3]
                size_bytes = write.size_bytes
                if state is not None and state.torn_bytes and index == kept[-1]:
                    size_bytes = state.torn_bytes
                start = write.start_bytes
                disk[start : start + size_bytes] = bytes([fill]) * size_bytes
            if state is None:
                durable = bytes(disk)
            else:
                disks.append(bytes(disk))
    return disks


# A release is laid down and a link flipped to it, as an update of the agent does.
FLIP = """
mount -t ext4 {device} /mnt; cd /mnt
mkdir new
for part in 1 2 3 4; do yes new$part | head -c 20000 > new/part$part; {fsync} done
{sync}
ln -s new current.new; mv -T current.new current; {sync}
echo x > other; sync other
cd /; umount /mnt
"""
WITH = {"device": "/dev/vda", "fsync": "sync new/part$part;", "sync": "sync"}
WITHOUT = {"device": "/dev/vdb", "fsync": "", "sync": ""}


def parts(word: str) -> dict[str, bytes]:
    return {f"part{n}": (f"{word}{n}\n".encode() * 20000)[:20000] for n in range(1, 5)}


def old_release(folder: Path) -> Path:
    """Return an ext4 that holds a release and a link to it."""
    tree = folder / "tree"
    (tree / "old").mkdir(parents=True)
    for name, content in parts("old").items():
        (tree / "old" / name).write_bytes(content)
    (tree / "current").symlink_to("old")
    disk = folder / "base"
    with disk.open("wb") as file:
        file.truncate(8 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-d", str(tree), str(disk)], check=True)
    return disk


def releases_found(base: Path, log: Path, folder: Path) -> Counter[str]:
    """Count what `current` is over all states: old, new or broken."""
    seen: Counter[str] = Counter()
    for crash in replay(base, log, folder):
        try:
            disk = recover(crash.disk, folder / "recovered")
        except Ext4Error:
            seen["damaged"] += 1
            continue
        found = {name: read(disk, f"current/{name}") for name in parts("old")}
        seen["old" if found == parts("old") else "new" if found == parts("new") else "broken"] += 1
    return seen


@pytest.mark.guest
@pytest.mark.skipif(bool(why_no_guest()), reason=why_no_guest())
@pytest.mark.timeout(600)
def test_a_flip_survives_every_cut_with_fsync_and_only_then(tmp_path: Path) -> None:
    base = old_release(tmp_path)
    drives = [Drive(tmp_path / name, tmp_path / f"{name}.log") for name in ("with", "without")]
    for drive in drives:
        sparse_copy(base, drive.file)
    prepare = "set -e; modprobe virtio_blk; modprobe ext4; mkdir -p /mnt"
    command = prepare + FLIP.format(**WITH) + FLIP.format(**WITHOUT)
    ran = run_in_guest(command, tmp_path / "guest", drives=drives)
    assert ran.status == 0, ran.output
    kept, lost = (releases_found(base, tmp_path / f"{d.file.name}.log", tmp_path) for d in drives)
    assert set(kept) == {"old", "new"}
    assert kept.total() > 50
    assert lost["broken"] > 0  # else this test could not fail
    assert not lost["damaged"]
