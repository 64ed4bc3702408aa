"""Every disk that a power cut during an installation may leave, and what a node finds on it."""

import shutil
import subprocess
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.powercut import Crash, cut_out, replay, sparse_copy
from services.powercut_ext4 import Ext4Error, replay_journal
from services.powercut_log import read_log
from services.powercut_states import epochs, states

from hil_tests.bench.run import Bench
from hil_tests.releases import Office
from node.install.tree import broken_files
from provisioning.image.boot.partitions import read_partitions
from provisioning.image.layout import DATA_PARTITION

_SLOT = "/slots/a/opt-simpul/upper"  # where /opt/simpul of slot A is written
_LINKS = ("current", "confirmed")
_JUDGES = 2  # at once: the work is e2fsck's and debugfs', of which each takes one processor


@dataclass(frozen=True, slots=True)
class Recorded:
    """A card as it was when the machine was switched on, and every write since."""

    base: Path
    log: Path

    def count(self) -> int:
        """Return how many writes and flushes were logged so far."""
        return len(read_log(self.log))


def installed(office: Office, card: Recorded) -> range:
    """Install a release and return the entries of the log that this took."""
    office.node.command("sync")
    first = card.count()
    office.give({"share/note": b"a release" * 4096})
    done = office.install()
    assert (done.status, done.outcome["status"]) == (0, "trial"), done
    assert office.ask("confirm", str(done.outcome["release"])).status == 0
    office.node.command("sync")
    return range(first, card.count())


def found_after_cuts(card: Recorded, during: range, folder: Path, states_max: int) -> Counter[str]:
    """Return what was found in so many states at most, spread over the entries `during`."""
    part = slice(during.start, during.stop)
    entries = read_log(card.log)[part]
    count = sum(
        1 for number, writes in enumerate(epochs(entries)) for _ in states(writes, seed=number)
    )
    step = max(1, count // states_max)
    seen: Counter[str] = Counter()
    judged: deque[Future[str]] = deque()
    with ThreadPoolExecutor(max_workers=_JUDGES) as pool:
        for number, crash in enumerate(replay(card.base, card.log, folder, during=part)):
            if number % step:
                continue
            room = folder / f"state-{number}"
            room.mkdir()
            _take_data(crash, room / "data")
            judged.append(pool.submit(_found, room))
            if len(judged) > _JUDGES:  # no more disks at a time than are looked at
                seen[judged.popleft().result()] += 1
        seen.update(each.result() for each in judged)
    return seen


def _take_data(crash: Crash, to: Path) -> None:
    """Copy the data partition: the disk is another for the next state."""
    data = read_partitions(crash.disk)[DATA_PARTITION]
    cut_out(crash.disk, range(data.start_bytes, data.start_bytes + data.size_bytes), to)


def _found(room: Path) -> str:
    """Return what a node finds on the data partition in `room`, which is removed."""
    disk, root = room / "data", room / "found"
    root.mkdir()
    try:
        replay_journal(disk)
        dump = ["debugfs", "-R", f"rdump {_SLOT} {root}", str(disk)]
        subprocess.run(dump, check=True, capture_output=True)
        return "; ".join(_wrong(root / "upper")) or "whole"
    except Ext4Error:
        return "damaged"
    finally:
        shutil.rmtree(room)


def _wrong(home: Path) -> Iterator[str]:
    for name in _LINKS:
        link = home / name
        if not link.is_symlink():
            continue  # still that of the image below
        release = home / "releases" / link.readlink().name
        if release.is_dir() and broken_files(release):
            yield f"broken: {name}"


@contextmanager
def recorded(node: Bench, folder: Path) -> Iterator[Recorded]:
    """Start the provisioned node anew with every write to its card logged; it is off after."""
    board = node.strategy.power
    board.off()
    node.strategy.lost_power()
    made = Recorded(folder / "base.img", folder / "writes.log")
    sparse_copy(board.card, made.base)
    made.log.touch()
    board.write_log = made.log
    try:
        node.strategy.transition("provisioned")
        yield made
    finally:
        board.off()
        node.strategy.lost_power()
        board.write_log = None
