"""Station mode: a card that is put into a pinned slot becomes the next node in the queue.

No question is asked, so these guards stand in its place: only ports that station.toml pins; never
a card that was there when the station started; never one that carries this image already, as a
finished card that is put back does.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from node.messages import SimpulError
from provisioning.flash.batch import Assignment, Batch
from provisioning.flash.block import aligned_buffer, open_for_reading, read_at
from provisioning.flash.choose import Candidate
from provisioning.flash.device import Device
from provisioning.flash.journal import BLOCK_BYTES
from provisioning.flash.settings import StationSettings
from provisioning.flash.source import Source
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
        elif is_finished(device, batch.source):
            say(f"slot {slot}: this card is finished already; take it out")
        elif queue.nodes:
            batch.add(Assignment(node=queue.nodes.popleft(), device=device, slot=slot))
        else:
            say(f"slot {slot}: no node is waiting for a card")


def is_done(batch: Batch, queue: Queue) -> bool:
    """Tell whether every node has its card."""
    return not queue.nodes and all(
        card.progress.verdict and number in queue.judged for number, card in enumerate(batch.cards)
    )


def is_finished(device: Device, source: Source) -> bool:
    """Tell whether the card begins as this image does, which only a finished one can."""
    wanted = memoryview(bytearray(min(BLOCK_BYTES, source.map.image_bytes)))
    source.read_into(wanted, 0)
    first = aligned_buffer(BLOCK_BYTES)
    try:
        reader = open_for_reading(device)
    except SimpulError:
        return False  # writing it will be refused for the same reason, and say so
    try:
        read_at(reader, first, 0)
    except SimpulError:
        return False  # as above
    finally:
        os.close(reader)
    return first[: len(wanted)] == wanted


def is_busy(batch: Batch) -> bool:
    """Tell whether a card is being made."""
    return any(not card.progress.verdict for card in batch.cards)


def _medium(device: Device) -> tuple[str, int]:
    return device.name, device.disk_sequence
