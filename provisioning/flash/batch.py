"""Makes many cards at once from one image: a thread per card, none of which waits for another."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import Struct

from node.messages import SimpulError
from provisioning.fault import handing_on
from provisioning.flash.card import Job, write_card
from provisioning.flash.device import Device
from provisioning.flash.errors import FakeCapacityError, RefusedError, StoppedError
from provisioning.flash.fat import Patch, find_fat, seed_patches
from provisioning.flash.guards import Policy
from provisioning.flash.progress import Progress, Verdict
from provisioning.flash.screenings import Screening
from provisioning.flash.source import Source
from provisioning.flash.stop import Stop
from provisioning.inventory import Node
from provisioning.register import Card as CardRow
from provisioning.register import Register
from provisioning.seed.seed import Seed

TICK_SECONDS = 0.2
STALL_SECONDS = 60.0
Seeds = Callable[[Node], Seed]


@dataclass(slots=True)
class Assignment:
    """One card and the node it becomes."""

    node: Node
    device: Device
    slot: str
    progress: Progress = field(default_factory=Progress)
    fingerprints: tuple[str, ...] = ()
    stop: Stop = field(default_factory=Stop)
    write: Callable[[Job], None] = write_card


class Station(Struct, frozen=True, kw_only=True):
    """What all cards of a station have in common."""

    seeds: Seeds
    register: Register
    journals: Path
    policy: Policy
    screening: Screening = "quick"
    stall_seconds: float = STALL_SECONDS
    seed_label: str = ""


class Batch:
    """Cards being made from one source; more may be added while others are at work."""

    def __init__(self, source: Source, station: Station) -> None:
        """Make cards from `source`; nothing starts yet.

        Raises ImageError when it has no place for a seed: now, and not once a card was erased.
        """
        self.source = source
        self.station = station
        self.cards: list[Assignment] = []
        self._threads: list[threading.Thread] = []
        # One seed at a time: each needs a copy of the FAT in memory.
        self._seeding = threading.Lock()
        self._ending = threading.Lock()
        self._fat = find_fat(source, label=station.seed_label)

    def add(self, card: Assignment) -> None:
        """Start making a card."""
        card.progress.begin(self.source.map.mapped_bytes)
        self.cards.append(card)
        thread = threading.Thread(
            target=self._run, args=(card,), name=card.device.name, daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def wait(self, on_tick: Callable[[Sequence[Assignment]], None]) -> None:
        """Call `on_tick` until every card has its verdict, and once more then."""
        while not all(card.progress.verdict for card in self.cards):
            on_tick(self.cards)
            self.check_stalled()
            for thread in self._threads:
                if thread.is_alive():
                    thread.join(TICK_SECONDS)
                    break
        on_tick(self.cards)

    def stop(self) -> None:
        """Have every card stop where it is, but for its very last block; each can be resumed."""
        for card in self.cards:
            card.stop.ask()

    def check_stalled(self) -> None:
        """Give up on cards that have not moved for long: the kernel may wait for them for ever."""
        for card in self.cards:
            is_last = card.progress.phase == "finishing"
            idle = time.monotonic() - max(card.progress.moved_mono, self.source.moved_mono)
            if idle > self.station.stall_seconds:
                with self._ending:
                    # A finished card waits for its verdict only; any other can no longer boot.
                    if not card.progress.verdict and card.stop.ask(even_last=is_last):
                        self._give(card, "failed", _stalled(idle, is_last=is_last))

    def _run(self, card: Assignment) -> None:
        job = Job(
            device=card.device,
            source=self.source,
            identity=lambda: self._identity(card),
            progress=card.progress,
            stop=card.stop,
            journals=self.station.journals,
            screening=self.station.screening,
            policy=self.station.policy,
            fat=self._fat,
        )

        def fault(error: BaseException) -> None:
            what = f"{type(error).__name__}: {error}"
            self._end(card, "failed", f"a fault of this program: {what}; report it")

        with handing_on(fault):
            try:
                card.write(job)
            except StoppedError as error:
                self._end(card, "stopped", str(error))
            except RefusedError as error:
                self._end(card, "refused", str(error))
            except FakeCapacityError as error:
                self._end(card, "fake", str(error))
            except (SimpulError, OSError) as error:
                self._end(card, "failed", str(error))
            else:
                self.source.trust()
                self._end(card, "verified")

    def _identity(self, card: Assignment) -> list[Patch]:
        with self._seeding:
            card.stop.check()  # given up while it waited: the node may have another card by now
            seed = self.station.seeds(card.node)
            card.fingerprints = seed.fingerprints
            return seed_patches(self.source, self._fat, seed.files)

    def _end(self, card: Assignment, verdict: Verdict, reason: str = "") -> None:
        with self._ending:
            if not card.progress.verdict:  # else it was given up before
                self._give(card, verdict, reason)

    def _give(self, card: Assignment, verdict: Verdict, reason: str) -> None:
        try:
            reason = self._record(card, verdict, reason)
        finally:
            card.progress.end(verdict, reason)

    def _record(self, card: Assignment, verdict: Verdict, reason: str) -> str:
        try:
            self.station.register.record_card(
                CardRow(
                    node=card.node.name,
                    slot=card.slot,
                    device=card.device.path,
                    serial=card.device.serial,
                    image_sha256=self.source.sha256() if verdict == "verified" else "",
                    fingerprints=card.fingerprints,
                    verdict=verdict,
                )
            )
        except (SimpulError, ValueError) as error:  # ValueError: a name that SQLite cannot hold
            return f"{reason}; not in the register: {error}".lstrip("; ")
        return reason


def _stalled(idle_seconds: float, *, is_last: bool) -> str:
    words = f"no answer for {idle_seconds:.0f} s; pull it and try another"
    return f"{words}; it may boot now: do not use it as it is" if is_last else words
