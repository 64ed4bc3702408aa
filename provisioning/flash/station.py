"""Station mode: a card that is put into a pinned slot becomes the next node in the queue.

No question is asked, so these guards stand in its place: only ports that station.toml pins; never
a card that was there when the station started; never one that this station has finished and that
nobody has used since, as a finished card that is put back. Each card is looked at in a thread of
its own: one that hardly answers must not keep the others waiting.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field

from node.messages import SimpulError
from provisioning.fault import handing_on
from provisioning.flash.batch import Assignment, Batch
from provisioning.flash.block import open_for_reading
from provisioning.flash.choose import Candidate
from provisioning.flash.device import Device
from provisioning.flash.errors import CardError, RefusedError
from provisioning.flash.finished import is_as_finished
from provisioning.flash.settings import StationSettings
from provisioning.inventory import Node


@dataclass(slots=True)
class Queue:
    """The nodes that still need a card, and the media that were seen or are being looked at."""

    nodes: deque[Node]
    seen: set[tuple[str, int]] = field(default_factory=set)
    looking: dict[tuple[str, int], Future[bool]] = field(default_factory=dict)
    judged: set[int] = field(default_factory=set)


def make_queue(nodes: Iterable[Node], there: Iterable[Candidate]) -> Queue:
    """Return the queue of a station that starts now: what is there has to be put in anew."""
    return Queue(deque(nodes), {_medium(each.device) for each in there})


def serve(
    batch: Batch,
    queue: Queue,
    settings: StationSettings,
    found: Collection[Candidate],
    say: Callable[[str], None],
) -> None:
    """Give every new card in a pinned slot the next node; take back the node of a bad card.

    What is being looked at comes to its turn later. Raises ImageError, StationError.
    """
    _judge(batch, queue, say)
    for gone in queue.looking.keys() - {_medium(each.device) for each in found}:
        del queue.looking[gone]
    for each in found:
        device = each.device
        medium, slot = _medium(device), settings.slot_of(device)
        if medium in queue.seen or not settings.is_pinned(device):
            continue
        if each.refusals:
            say(f"slot {slot}: not written: {'; '.join(each.refusals)}")
        elif medium not in queue.looking:
            queue.looking[medium] = _look(device, batch)
            continue
        elif not queue.looking[medium].done():
            continue
        elif queue.looking[medium].result():
            say(
                f"slot {slot}: this card is finished already; take it out "
                "(simpul flash makes it another node's)"
            )
        elif queue.nodes:
            batch.add(Assignment(node=queue.nodes.popleft(), device=device, slot=slot))
        else:
            say(f"slot {slot}: no node is waiting for a card")
        queue.seen.add(medium)
        queue.looking.pop(medium, None)


def _judge(batch: Batch, queue: Queue, say: Callable[[str], None]) -> None:
    """Tell what became of cards; their nodes are next again where it is nothing good."""
    for number, card in enumerate(batch.cards):
        if card.progress.verdict and number not in queue.judged:
            queue.judged.add(number)
            reason = f": {card.progress.reason}" if card.progress.reason else ""
            say(f"slot {card.slot}: {card.node.name}: {card.progress.verdict}{reason}")
            if card.progress.verdict != "verified":
                queue.nodes.appendleft(card.node)


def is_done(batch: Batch, queue: Queue) -> bool:
    """Tell whether every node has its card."""
    return not queue.nodes and all(
        card.progress.verdict and number in queue.judged for number, card in enumerate(batch.cards)
    )


def is_finished(device: Device, batch: Batch) -> bool:
    """Tell whether the card is as this station has finished it. Raises ImageError, StationError."""
    try:
        reader = open_for_reading(device)
    except RefusedError:
        return False  # writing it will be refused for the same reason, and say so
    try:
        return is_as_finished(batch.station.journals, batch.source, device.size_bytes, reader)
    except CardError:
        return False  # as above
    finally:
        os.close(reader)


def _look(device: Device, batch: Batch) -> Future[bool]:
    """Begin to find out whether the card is finished."""
    looked: Future[bool] = Future()

    def look() -> None:
        with suppress(SimpulError, OSError), handing_on(looked.set_exception):
            looked.set_result(is_finished(device, batch))

    threading.Thread(target=look, name=f"look {device.name}", daemon=True).start()
    return looked


def is_busy(batch: Batch) -> bool:
    """Tell whether a card is being made."""
    return any(not card.progress.verdict for card in batch.cards)


def _medium(device: Device) -> tuple[str, int]:
    return device.name, device.disk_sequence
