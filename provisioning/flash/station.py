"""Station mode: a card that is put into a pinned slot becomes the next node in the queue.

No question is asked, so these guards stand in its place: only ports that station.toml pins; never
a card that was there when the station started; never one that this station has finished and that
nobody has used since, as a finished card that is put back.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

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
    """The nodes that still need a card, and the media that were seen."""

    nodes: deque[Node]
    seen: set[tuple[str, int]] = field(default_factory=set)
    judged: set[int] = field(default_factory=set)


def make_queue(nodes: Iterable[Node], there: Iterable[Candidate]) -> Queue:
    """Return the queue of a station that starts now: what is there has to be put in anew."""
    return Queue(deque(nodes), {_medium(each.device) for each in there})


def serve(
    batch: Batch,
    queue: Queue,
    settings: StationSettings,
    found: Iterable[Candidate],
    say: Callable[[str], None],
) -> None:
    """Give every new card in a pinned slot the next node; take back the node of a bad card."""
    for number, card in enumerate(batch.cards):
        if card.progress.verdict and number not in queue.judged:
            queue.judged.add(number)
            reason = f": {card.progress.reason}" if card.progress.reason else ""
            say(f"slot {card.slot}: {card.node.name}: {card.progress.verdict}{reason}")
            if card.progress.verdict != "verified":
                queue.nodes.appendleft(card.node)
    for each in found:
        device = each.device
        if _medium(device) in queue.seen:
            continue
        queue.seen.add(_medium(device))
        slot = settings.slot_of(device)
        if not settings.is_pinned(device):
            continue
        if each.refusals:
            say(f"slot {slot}: not written: {'; '.join(each.refusals)}")
        elif is_finished(device, batch):
            say(
                f"slot {slot}: this card is finished already; take it out "
                "(simpul flash makes it another node's)"
            )
        elif queue.nodes:
            batch.add(Assignment(node=queue.nodes.popleft(), device=device, slot=slot))
        else:
            say(f"slot {slot}: no node is waiting for a card")


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


def is_busy(batch: Batch) -> bool:
    """Tell whether a card is being made."""
    return any(not card.progress.verdict for card in batch.cards)


def _medium(device: Device) -> tuple[str, int]:
    return device.name, device.disk_sequence
