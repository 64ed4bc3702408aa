"""Runs a batch with its screen and labels, and tells how it ended: table or JSON, exit status."""

from collections.abc import Iterable, Sequence
from typing import Self

from invoke import Exit
from rich.console import Console
from rich.live import Live

from provisioning.flash.batch import TICK_SECONDS, Assignment, Batch
from provisioning.flash.choose import Candidate, candidates, choose
from provisioning.flash.device import Device
from provisioning.flash.errors import StationError
from provisioning.flash.guards import Policy
from provisioning.flash.settings import StationSettings
from provisioning.flash.sheet import LabelSheet
from provisioning.flash.show import final_table, live_table, outcomes_json
from provisioning.flash.signals import beep, shine
from provisioning.flash.station import Queue, is_busy, is_done, serve
from provisioning.flash.watch import CardWatch

_PATIENCE_SECONDS = 5.0
EXIT_SOME_FAILED = 3
EXIT_INTERRUPTED = 130


class Screen:
    """What a person gets: a live table and a beep for each verdict, unless quiet, and labels."""

    def __init__(self, console: Console, sheet: LabelSheet, *, quiet: bool) -> None:
        self.console = console
        self.sheet = sheet
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
        """Show how far the cards are; write the labels of those that are good."""
        self.sheet.add(cards)
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


def run_batch(batch: Batch, cards: Iterable[Assignment], screen: Screen) -> int:
    """Make the cards, showing how far they are; return the exit status.

    Ctrl-C stops every card where it can be resumed.
    """
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
    batch: Batch, queue: Queue, settings: StationSettings, policy: Policy, screen: Screen
) -> int:
    """Serve the slots until every node has its card; return the exit status."""
    watch = CardWatch()
    interrupted = False
    waiting = " ".join(node.name for node in queue.nodes)
    say = screen.console.print
    say(f"waiting for cards; next: {waiting} (Ctrl-C ends)")
    with screen:
        try:
            while not is_done(batch, queue):
                serve(batch, queue, settings, candidates(policy), say)
                shine(settings.lamp, on=is_busy(batch))
                screen.show(batch.cards)
                batch.check_stalled()
                soon = is_busy(batch) or queue.looking
                watch.wait(TICK_SECONDS if soon else _PATIENCE_SECONDS)
        except KeyboardInterrupt:
            interrupted = True
            batch.stop()
            batch.wait(screen.show)
        finally:
            shine(settings.lamp, on=False)
    return EXIT_INTERRUPTED if interrupted else _status(batch)


def report(batch: Batch, screen: Screen, status: int, *, json: bool) -> None:
    """Print what became of the cards, see that all labels are written, and end with the status.

    Labels that cannot be written leave something to do, as a card does that is not good.
    """
    if json:
        good = any(card.progress.verdict == "verified" for card in batch.cards)
        print(outcomes_json(batch.cards, batch.source.sha256() if good else ""))  # noqa: T201 - the answer
    else:
        screen.console.print(final_table(batch.cards))
    try:
        screen.sheet.finish(batch.cards)
    except StationError as error:
        raise Exit(f"simpul: {error}", status or EXIT_SOME_FAILED) from error
    if status:
        raise Exit(code=status)


def _status(batch: Batch) -> int:
    """Return the exit status: every node has to have a good card, whatever came before."""
    good = {card.node.name for card in batch.cards if card.progress.verdict == "verified"}
    return 0 if all(card.node.name in good for card in batch.cards) else EXIT_SOME_FAILED


def _free_count(found: Iterable[Candidate]) -> int:
    return sum(not each.refusals for each in found)
