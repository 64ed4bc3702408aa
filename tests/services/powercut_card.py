"""Judges a card after a power cut: what the firmware would boot, and whether that is whole.

The decision is the emulated firmware's own; whole means equal, to the byte, to a system that is
known to be good. Nothing is booted, so that every crash point can be judged; what was looked at
before is not looked at again (see the versions of `powercut`).
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from services.powercut import Crash, cut_out, replay
from services.powercut_ext4 import Ext4Error, preen, recover
from services.powercut_log import Entry, Flag, read_log

from provisioning.image import layout
from provisioning.image.boot.autoboot import parse_autoboot
from provisioning.image.boot.errors import CardError
from provisioning.image.boot.fat_files import read_file
from provisioning.image.boot.firmware import decide
from provisioning.image.boot.partitions import Partition, read_partitions

SELECT, BOOT = 1, {"a": 2, "b": 3}
ROOT, DATA = layout.ROOT_PARTITION, layout.DATA_PARTITION
_CHUNK_BYTES = 1 << 20
PHASES = ("download", "boot slot write", "root slot write", "selection", "trial", "commit")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class System:
    """What a slot may hold: digests of its boot and root partitions, and the root's size."""

    boot: str
    root: str
    root_bytes: int


@dataclass(slots=True)
class Figures:
    """What came of all states."""

    states: Counter[str] = field(default_factory=Counter)
    """By phase."""
    points: Counter[str] = field(default_factory=Counter)
    """Crash points (log entries) by phase."""
    kinds: Counter[str] = field(default_factory=Counter)
    """States by kind."""
    slots: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By phase and the slot that is booted."""
    bricks: list[str] = field(default_factory=list)
    damaged_data: list[str] = field(default_factory=list)
    preened_data: int = 0
    """States whose data the kernel alone would not mount, and a node's own e2fsck heals."""

    def table(self) -> str:
        """Return the figures, a line a phase."""
        lines = [f"{'phase':<16} {'points':>7} {'states':>7} {'boots a':>8} {'boots b':>8} bricks"]
        for phase in PHASES:
            slots = [self.slots[phase, slot] for slot in "ab"]
            bricks = sum(each.startswith(phase) for each in self.bricks)
            lines.append(
                f"{phase:<16} {self.points[phase]:>7} {self.states[phase]:>7}"
                f" {slots[0]:>8} {slots[1]:>8} {bricks:>6}"
            )
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.kinds.most_common())
        data = f"damaged data: {len(self.damaged_data)}, preened: {self.preened_data}"
        return "\n".join([*lines, f"states: {kinds}; {data}"])


class Judge:
    """Judges the states of one card, whose slots may hold `systems` (slot -> the good ones)."""

    def __init__(self, base: Path, systems: Mapping[str, Sequence[System]], folder: Path) -> None:
        self._parts = read_partitions(base)
        # It grows to the card's end at the first boot.
        self._data = range(self._parts[DATA].start_bytes, base.stat().st_size)
        self._systems = systems
        self._folder = folder
        self._choices: dict[Hashable, tuple[str, str]] = {}
        self._wholes: dict[Hashable, str] = {}
        self._datas: dict[Hashable, tuple[str, bool]] = {}

    @property
    def regions(self) -> dict[str, range]:
        """The byte ranges whose versions are asked of the replay."""
        slots = (SELECT, *BOOT.values(), *ROOT.values())
        return {**{f"{each}": region(self._parts[each]) for each in slots}, f"{DATA}": self._data}

    def brick(self, crash: Crash) -> tuple[str, str]:
        """Return the slot that is booted, and why it would not come up; empty when it does."""
        choice = tuple(crash.versions[f"{number}"] for number in (SELECT, *BOOT.values()))
        slot, wrong = self._once(self._choices, choice, lambda: self._chosen(crash.disk))
        if wrong:
            return slot, wrong
        found = tuple(crash.versions[f"{number}"] for number in (BOOT[slot], ROOT[slot]))
        return slot, self._once(self._wholes, (slot, found), lambda: self._whole(crash.disk, slot))

    def damaged_data(self, crash: Crash) -> tuple[str, bool]:
        """Return why the data is not mounted, empty when it is, and whether it was preened."""
        return self._once(
            self._datas, crash.versions[f"{DATA}"], lambda: self._data_wrong(crash.disk)
        )

    @staticmethod
    def _once(known: dict[Hashable, T], version: Hashable, look: Callable[[], T]) -> T:
        if version not in known:
            known[version] = look()
        return known[version]

    def _chosen(self, disk: Path) -> tuple[str, str]:
        """Decide as after a power cut: the flag of tryboot does not outlive it."""
        try:
            decision = decide(disk)
        except CardError as error:
            return "?", str(error)
        number = decision.partition.number
        slot = next((slot for slot, boot in BOOT.items() if boot == number), "?")
        if slot == "?":
            return slot, f"partition {number} is booted, which is no slot"
        words = read_file(disk, decision.partition, "cmdline.txt") or b""
        if f"simpul.slot={slot}".encode() not in words:
            return slot, f"slot {slot} boots with the arguments {words!r}"
        return slot, ""

    def _whole(self, disk: Path, slot: str) -> str:
        boot, root = self._parts[BOOT[slot]], self._parts[ROOT[slot]]
        found_boot = digest(disk, boot, boot.size_bytes)
        for system in self._systems[slot]:
            if system.boot == found_boot:
                if digest(disk, root, system.root_bytes) == system.root:
                    return ""
                return f"slot {slot}: its root is not whole"
        return f"slot {slot}: its boot partition is not whole"

    def _data_wrong(self, disk: Path) -> tuple[str, bool]:
        part, recovered = self._folder / "data", self._folder / "recovered"
        cut_out(disk, self._data, part)
        with suppress(Ext4Error):
            recover(part, recovered)
            return "", False
        try:
            preen(part)
            recover(part, recovered)
        except Ext4Error as error:
            return str(error), True
        return "", True


def judge_all(base: Path, log: Path, folder: Path, judge: Judge, *, data_every: int = 1) -> Figures:
    """Judge every state of the card `base` under `log`, and data in each n-th; in none for 0."""
    figures = Figures()
    phases = phase_of(base, log)
    figures.points.update(phases)
    for number, crash in enumerate(replay(base, log, folder, judge.regions)):
        phase = phases[crash.entry] if phases else PHASES[0]
        figures.states[phase] += 1
        figures.kinds[crash.kind] += 1
        slot, wrong = judge.brick(crash)
        figures.slots[phase, slot] += 1
        if wrong:
            figures.bricks.append(f"{phase}, entry {crash.entry}, {crash.kind}: {wrong}")
        if data_every and number % data_every == 0:
            damaged, preened = judge.damaged_data(crash)
            figures.preened_data += preened
            if damaged:
                found = f"{phase}, entry {crash.entry}, {crash.kind}: {damaged}"
                figures.damaged_data.append(found)
    return figures


def phase_of(base: Path, log: Path) -> list[str]:
    """Return the phase of every log entry, told by what the update wrote last."""
    parts = read_partitions(base)
    phases: list[str] = []
    phase = PHASES[0]
    default = None
    for entry in read_log(log):
        if _in(parts[BOOT["b"]], entry):
            phase = PHASES[1]
        elif _in(parts[ROOT["b"]], entry):
            phase = PHASES[2]
        elif (said := _autoboot_in(parts[SELECT], entry, log)) is not None:
            default = default or _default(said)
            if phase != PHASES[0]:
                phase = PHASES[3]
            if b"simpul_started=1" in said:
                phase = PHASES[4]
            if _default(said) != default:
                phase = PHASES[5]
        phases.append(phase)
    return phases


def _default(said: bytes) -> int:
    return parse_autoboot(said, tryboot=False).boot_partition


def _in(part: Partition, entry: Entry) -> bool:
    """Return whether `entry` writes to `part`."""
    where = region(part)
    return bool(entry.size_bytes) and entry.start_bytes in where


def _autoboot_in(part: Partition, entry: Entry, log: Path) -> bytes | None:
    if not _in(part, entry) or entry.data_bytes is None or entry.flags & Flag.DISCARD:
        return None
    with log.open("rb") as file:
        file.seek(entry.data_bytes)
        content = file.read(entry.size_bytes)
    start = content.find(b"[all]\ntryboot_a_b=1\n")
    return None if start < 0 else content[start : start + layout.AUTOBOOT_BYTES]


def region(part: Partition) -> range:
    """Return the bytes of the card that `part` takes."""
    return range(part.start_bytes, part.start_bytes + part.size_bytes)


def digest(disk: Path, part: Partition, size_bytes: int) -> str:
    """Return the SHA-256 of the first `size_bytes` of a partition."""
    found = hashlib.sha256()
    with disk.open("rb") as file:
        file.seek(part.start_bytes)
        for chunk in _chunks(size_bytes):
            found.update(file.read(chunk))
    return found.hexdigest()


def _chunks(size_bytes: int) -> Iterator[int]:
    while size_bytes:
        yield (chunk := min(size_bytes, _CHUNK_BYTES))
        size_bytes -= chunk
