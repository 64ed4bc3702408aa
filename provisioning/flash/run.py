"""Runs a batch with its screen, and tells how it ended: table or JSON, labels, exit status."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.live import Live

from provisioning.flash.batch import TICK_SECONDS, Assignment, Batch
from provisioning.flash.choose import Candidate, candidates, choose
from provisioning.flash.device import Device
from provisioning.flash.guards import Policy
from provisioning.flash.settings import StationSettings
from provisioning.flash.show import final_table, live_table, outcomes_json
from provisioning.flash.signals import beep, shine
from provisioning.flash.station import Queue, is_busy, is_done, serve
from provisioning.flash.watch import CardWatch

_PATIENCE_SECONDS = 5.0
EXIT_SOME_FAILED = 3
EXIT_INTERRUPTED = 130


class Screen:
    """The live table, and a beep for each verdict; nothing of both when quiet."""

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._live = None if quiet else Live(console=console, auto_refresh=False, transient=True)
        self._judged_count = 0

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, cards: Sequence[Assignment]) -> None:
        """Show how far the cards are."""
        if self._live is None:
            return
        self._live.update(live_table(cards), refresh=True)
        judged = [card for card in cards if card.progress.verdict]
        judged.sort(key=lambda card: card.progress.ended_mono)
        for card in judged[self._judged_count :]:
            beep(card.progress.verdict)
        self._judged_count = len(judged)


def wait_for_cards(
    policy: Policy, paths: Sequence[str], wanted: int, console: Console, *, patient: bool
) -> list[Device]:
    """Return the devices for so many nodes; when `patient`, wait until enough are put in.

    Raises RefusedError, StationError.
    """
    watch = CardWatch()
    found = candidates(policy)
    said = -1
    while patient and not paths and (there := _free_count(found)) < wanted:
        if there != said:
            console.print(f"{there} of {wanted} cards are there; put in the others (Ctrl-C ends)")
        said = there
        watch.wait(_PATIENCE_SECONDS)
        found = candidates(policy)
    return choose(found, paths, wanted)


def run_batch(batch: Batch, cards: Iterable[Assignment], console: Console, *, quiet: bool) -> int:
    """Make the cards, showing how far they are unless `quiet`; return the exit status.

    Ctrl-C stops every card where it can be resumed.
    """
    screen = Screen(console, quiet=quiet)
    interrupted = False
    with screen:
        for card in cards:
            batch.add(card)
        try:
            batch.wait(screen.show)
        except KeyboardInterrupt:
            interrupted = True
            batch.stop()
            batch.wait(screen.show)
    return EXIT_INTERRUPTED if interrupted else _status(batch)


def run_station(
    batch: Batch,
    queue: Queue,
    settings: StationSettings,
    policy: Policy,
    console: Console,
    *,
    quiet: bool,
) -> int:
    """Serve the slots until every node has its card; return the exit status.

    `quiet`: only words, no live table.
    """
    watch = CardWatch()
    interrupted = False
    waiting = " ".join(node.name for node in queue.nodes)
    console.print(f"waiting for cards; next: {waiting} (Ctrl-C ends)")
    with Screen(console, quiet=quiet) as screen:
        try:
            while not is_done(batch, queue):
                serve(batch, queue, settings, candidates(policy), console.print)
                shine(settings.lamp, on=is_busy(batch))
                screen.show(batch.cards)
                batch.check_stalled()
                watch.wait(TICK_SECONDS if is_busy(batch) else _PATIENCE_SECONDS)
        except KeyboardInterrupt:
            interrupted = True
            batch.stop()
            batch.wait(screen.show)
        finally:
            shine(settings.lamp, on=False)
    return EXIT_INTERRUPTED if interrupted else _status(batch)


def report(batch: Batch, console: Console, *, json: bool, labels: Path | None) -> None:
    """Print what became of the cards; write the labels of the good ones. Raises StationError."""
    good = [card for card in batch.cards if card.progress.verdict == "verified"]
    if json:
        print(outcomes_json(batch.cards, batch.source.sha256() if good else ""))  # noqa: T201 - the answer
    else:
        console.print(final_table(batch.cards))
    if labels and good:
        # Its library takes a quarter of a second to load, and 20 MiB.
        from provisioning.flash.label import Label, write_labels  # noqa: PLC0415

        today = datetime.now().astimezone().date().isoformat()
        write_labels(labels, [Label.of(card.node, card.fingerprints, today) for card in good])


def _status(batch: Batch) -> int:
    """Return the exit status: every node has to have a good card, whatever came before."""
    good = {card.node.name for card in batch.cards if card.progress.verdict == "verified"}
    return 0 if all(card.node.name in good for card in batch.cards) else EXIT_SOME_FAILED


def _free_count(found: Iterable[Candidate]) -> int:
    return sum(not each.refusals for each in found)
