"""Runs batches of cards in tests, with a real authority and register, and looks at the cards."""

import hashlib
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from provisioning.authority.authority import Authority
from provisioning.flash.batch import Assignment, Batch, Station
from provisioning.flash.device import Device
from provisioning.flash.guards import Policy
from provisioning.flash.progress import Phase, Progress
from provisioning.flash.screenings import Screening
from provisioning.flash.source import Source
from provisioning.inventory import Node
from provisioning.register import Register
from provisioning.seed.seed import seed_node

PASSPHRASE = b"a passphrase for tests"


def make_authority(directory: Path) -> None:
    """Make an authority and its register; it takes seconds, on purpose."""
    Authority(directory / "authority", Register(directory / "register.db")).init(PASSPHRASE)


def make_station(
    directory: Path,
    *,
    screening: Screening = "quick",
    size_min_bytes: int = 1,
    stall_seconds: float = 60.0,
) -> Station:
    """Return a station whose authority, register and journals lie in `directory`.

    The authority is there already: `make_authority`, or a copy of what it made.
    """
    register = Register(directory / "register.db")
    authority = Authority(directory / "authority", register)
    return Station(
        seeds=lambda node: seed_node(authority, node),
        register=register,
        journals=directory / "state" / "simpul" / "flash",
        policy=Policy(size_min_bytes=size_min_bytes, allow_loop=True),
        screening=screening,
        stall_seconds=stall_seconds,
    )


def assign(devices: Sequence[Device]) -> list[Assignment]:
    """Return each device with a node of its own."""
    return [
        Assignment(node=Node(name=f"node-{number}"), device=device, slot=str(number))
        for number, device in enumerate(devices)
    ]


def run(source: Source, station: Station, cards: Sequence[Assignment]) -> None:
    """Make the cards and wait for every verdict."""
    batch = Batch(source, station)
    for card in cards:
        batch.add(card)
    batch.wait(lambda _: None)


class Held(Progress):
    """The progress of a card that stays at the start of one phase until it may go on."""

    def __init__(self, phase: Phase) -> None:
        """Hold the card there."""
        super().__init__()
        self.held = phase
        self.reached = threading.Event()
        self.go = threading.Event()

    def enter(self, phase: Phase) -> None:
        """Begin a phase, and wait there if it is the one."""
        super().enter(phase)
        if phase == self.held:
            self.reached.set()
            self.go.wait()


def first_block(memory: Path) -> bytes:
    """Return the first block of what a card keeps."""
    with memory.open("rb") as file:
        return file.read(4096)


def is_bootable(memory: Path) -> bool:
    """Tell whether the card has a boot record (the signature that every firmware asks for)."""
    return first_block(memory)[510:512] == b"\x55\xaa"


def differing_ranges(memory: Path, plain: Path, source: Source, but: range) -> list[int]:
    """Return the offsets of mapped MiB that differ from the image, apart from those in `but`."""
    differing = []
    with memory.open("rb") as card, plain.open("rb") as image:
        for part in source.map.ranges:
            for offset in range(part.offset_bytes, part.end_bytes, 4096):
                length = min(4096, part.end_bytes - offset)
                if offset in but:
                    continue
                card.seek(offset)
                image.seek(offset)
                if card.read(length) != image.read(length):
                    differing.append(offset)
    return differing


@contextmanager
def untouched(files: Sequence[Path]) -> Iterator[None]:
    """Check that the files hold at the end what they held at the beginning."""
    before = [_sha256(each) for each in files]
    yield
    os.sync()
    assert [_sha256(each) for each in files] == before


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
