"""Shows every disk that a power cut may leave behind, one after the other, from a log of writes.

for crash in replay(base, log, folder):
    look_at(crash.disk)

Killing a machine's emulator is no power cut: the host keeps what it acknowledged. Here the disk as
it was before, and the log that QEMU's `blklogwrites` kept, give every state in which a crash may
leave the medium; see `powercut_states` for which ones and why these.
"""

import errno
import os
import subprocess
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from services.powercut_log import Entry, read_log
from services.powercut_states import Kind, State, epochs, states

_BUCKET_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class Crash:
    """One disk found after the power came back."""

    disk: Path
    """The raw disk; read it only, and before the next crash is asked for."""
    kind: Kind
    entry: int
    """The number of the latest log entry that had been asked for."""
    versions: Mapping[str, Hashable] = field(default_factory=dict)
    """Per region: equal values mean equal content, so that a check need not be repeated."""


def replay(
    base: Path,
    log: Path,
    folder: Path,
    regions: Mapping[str, range] | None = None,
    during: slice = slice(None),
) -> Iterator[Crash]:
    """Yield every state of the disk `base` under the writes of `log`; works in `folder`.

    `regions` names byte ranges whose version each crash tells. `during` names entries of the log;
    what was written before them is on the medium, where a flush stands between. Raises LogError.
    """
    entries = read_log(log)
    before, entries = entries[: during.start or 0], entries[during]
    disk = folder / "disk"
    sparse_copy(base, disk)
    sparse_copy(base, folder / "durable")
    with _Medium(disk, folder / "durable", log) as medium:
        medium.begin([entry for entry in before if entry.size_bytes])
        medium.settle()
        versions = _Versions(regions or {})
        asked = 0
        for number, writes in enumerate(epochs(entries)):
            medium.begin(writes)
            for state in states(writes, seed=number):
                medium.show(state)
                entry = writes[state.kept[-1]].number if state.kept else asked
                yield Crash(disk, state.kind, entry, versions.of(writes, state))
            medium.settle()
            versions.settle(writes)
            asked = writes[-1].number if writes else asked


def sparse_copy(file: Path, to: Path) -> None:
    """Copy `file` without its holes, sharing blocks where the file system can."""
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", str(file), str(to)], check=True)


def cut_out(disk: Path, region: range, to: Path) -> None:
    """Copy a range of `disk` to the file `to`, without its holes."""
    to.unlink(missing_ok=True)
    with disk.open("rb") as source, to.open("wb") as out:
        out.truncate(len(region))
        for start in _data_in(source.fileno(), region):
            chunk = os.pread(source.fileno(), min(_BUCKET_BYTES, region.stop - start), start)
            os.pwrite(out.fileno(), chunk, start - region.start)


def _data_in(file: int, region: range) -> Iterator[int]:
    """Yield where the pieces of `region` begin, a bucket each, that are no holes (lseek(2))."""
    position = region.start
    while position < region.stop:
        try:
            position = os.lseek(file, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no data behind this
                return
            raise
        if position < region.stop:
            yield position
        position += _BUCKET_BYTES


class _Medium:
    """A disk file that moves from state to state by rewriting only what differs."""

    def __init__(self, disk: Path, durable: Path, log: Path) -> None:
        self._disk = os.open(disk, os.O_RDWR | os.O_CLOEXEC)
        self._durable = os.open(durable, os.O_RDWR | os.O_CLOEXEC)
        self._log = os.open(log, os.O_RDONLY | os.O_CLOEXEC)
        self._writes: Sequence[Entry] = ()
        self._buckets: dict[int, list[int]] = {}
        self._now = State(Kind.DROPPED, ())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in (self._disk, self._durable, self._log):
            os.close(descriptor)

    def begin(self, writes: Sequence[Entry]) -> None:
        """Begin an epoch on the medium as the last one left it."""
        self._writes = writes
        self._now = State(Kind.DROPPED, ())
        buckets: dict[int, list[int]] = defaultdict(list)
        for index, write in enumerate(writes):
            for bucket in _buckets(write.start_bytes, write.size_bytes):
                buckets[bucket].append(index)
        self._buckets = buckets

    def show(self, state: State) -> None:
        """Make the disk file what `state` says."""
        changed = set(self._now.kept).symmetric_difference(state.kept)
        for each in (self._now, state):
            if each.torn_bytes:
                changed.add(each.kept[-1])
        kept = set(state.kept)
        for index in changed:
            write = self._writes[index]
            for start in range(write.start_bytes, _end(write), _CHUNK_BYTES):
                self._rebuild(start, min(_CHUNK_BYTES, _end(write) - start), kept, state)
        self._now = state

    def settle(self) -> None:
        """Put the whole epoch on the medium for good."""
        self.show(State(Kind.IN_ORDER, tuple(range(len(self._writes)))))
        for write in self._writes:
            for start in range(0, write.size_bytes, _CHUNK_BYTES):
                size_bytes = min(_CHUNK_BYTES, write.size_bytes - start)
                os.pwrite(self._durable, self._content(write, start, size_bytes), _at(write, start))

    def _rebuild(self, start: int, size_bytes: int, kept: set[int], state: State) -> None:
        content = bytearray(os.pread(self._durable, size_bytes, start).ljust(size_bytes, b"\0"))
        overlapping = {
            index for bucket in _buckets(start, size_bytes) for index in self._buckets[bucket]
        }
        for index in sorted(overlapping & kept):
            write = self._writes[index]
            end = _end(write)
            if state.torn_bytes and index == state.kept[-1]:
                end = write.start_bytes + state.torn_bytes
            low, high = max(start, write.start_bytes), min(start + size_bytes, end)
            if low < high:
                piece = self._content(write, low - write.start_bytes, high - low)
                content[low - start : high - start] = piece
        os.pwrite(self._disk, content, start)

    def _content(self, write: Entry, offset: int, size_bytes: int) -> bytes:
        if write.data_bytes is None:
            return bytes(size_bytes)
        return os.pread(self._log, size_bytes, write.data_bytes + offset)


class _Versions:
    """Tells for each region which writes it holds."""

    def __init__(self, regions: Mapping[str, range]) -> None:
        self._regions = regions
        self._durable = dict.fromkeys(regions, 0)

    def of(self, writes: Sequence[Entry], state: State) -> dict[str, Hashable]:
        """Return a value per region; writes kept in order count like durable ones."""
        return {name: self._version(name, writes, state) for name in self._regions}

    def settle(self, writes: Sequence[Entry]) -> None:
        """Count `writes` as durable."""
        for name, region in self._regions.items():
            self._durable[name] += len(_touching(region, writes, range(len(writes))))

    def _version(self, name: str, writes: Sequence[Entry], state: State) -> Hashable:
        region = self._regions[name]
        kept = _touching(region, writes, state.kept)
        torn = bool(state.torn_bytes and kept and kept[-1] == state.kept[-1])
        # Nothing of this region was left out before its last kept write: same as in order.
        if not torn and kept == _touching(region, writes, range(kept[-1] + 1 if kept else 0)):
            return self._durable[name] + len(kept)
        return (self._durable[name], tuple(kept), state.torn_bytes if torn else 0)


def _touching(region: range, writes: Sequence[Entry], indexes: Sequence[int]) -> list[int]:
    return [
        index
        for index in indexes
        if writes[index].start_bytes < region.stop and _end(writes[index]) > region.start
    ]


def _buckets(start: int, size_bytes: int) -> range:
    return range(start // _BUCKET_BYTES, (start + size_bytes - 1) // _BUCKET_BYTES + 1)


def _at(write: Entry, offset: int) -> int:
    return write.start_bytes + offset


def _end(write: Entry) -> int:
    return write.start_bytes + write.size_bytes
