"""Takes one card from whatever it holds to a verified node: the order of steps is the safety.

Checks, wipe, screening, mark, ranges with their verification, samples of the whole once more,
identity, flush, and the first block last. Until that block is written the card cannot be booted,
and the mark in its place tells the next run where to go on.
"""

import os
from collections.abc import Callable, Collection, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from provisioning.fault import handing_on
from provisioning.flash.block import (
    aligned_buffer,
    flush,
    open_for_reading,
    open_for_writing,
    read_at,
    whole_sectors,
    write_at,
)
from provisioning.flash.device import Device
from provisioning.flash.errors import CardError, RefusedError
from provisioning.flash.fat import Fat, Patch
from provisioning.flash.finished import remember_finished
from provisioning.flash.guards import Policy, refusals
from provisioning.flash.journal import BLOCK_BYTES, Journal, begin_journal, find_journal
from provisioning.flash.progress import Progress
from provisioning.flash.ranges import Handles, Work, expect, write_ranges
from provisioning.flash.samples import check_samples
from provisioning.flash.screen import screen_full, screen_quick
from provisioning.flash.screenings import Screening, is_enough
from provisioning.flash.source import Source
from provisioning.flash.stop import Stop

WIPE_BYTES = 2**20

Identity = Callable[[], Iterable[Patch]]
"""Makes what one card has of its own; called once everything else is known to be good."""


@dataclass(frozen=True, slots=True)
class Job:
    """One card to be made: where, from what, and whom to tell."""

    device: Device
    source: Source
    identity: Identity
    progress: Progress
    stop: Stop
    journals: Path
    policy: Policy
    screening: Screening = "quick"
    fat: Fat | None = None  # that takes the identity


def write_card(job: Job) -> None:
    """Make the card.

    Raises RefusedError, FakeCapacityError, CardError, ImageError, StoppedError.
    """
    job.progress.enter("checking")
    writer = open_for_writing(job.device)
    try:
        # Once more, now that nobody else can mount it or take it.
        if reasons := refusals(job.device, job.policy):
            raise RefusedError(f"{job.device.path}: not written: {'; '.join(reasons)}")
        reader = open_for_reading(job.device)
        try:
            _make(job, Handles(writer, reader, job.device))
        finally:
            os.close(reader)
    finally:
        os.close(writer)


def write_file(job: Job) -> None:
    """Make a file as a card would be made. It must not be there yet; a failed one is removed.

    Raises RefusedError, CardError, ImageError, StoppedError.
    """
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        writer = os.open(job.device.path, flags, 0o600)
    except OSError as error:
        raise RefusedError(f"{job.device.path}: {error.strerror}; name a new file") from error
    with ExitStack() as stack:
        stack.callback(os.close, writer)
        undo = stack.enter_context(ExitStack())
        undo.callback(os.unlink, job.device.path)
        os.ftruncate(writer, job.source.map.image_bytes)
        with open(job.device.path, "rb", buffering=0) as reader:  # noqa: PTH123 - as os.open above
            handles = Handles(writer, reader.fileno())
            work = Work(job.source, handles, job.progress, job.stop)
            write_ranges(work, finished=(), note=lambda _: None)
            _finish(job, handles)
        undo.pop_all()


def _make(job: Job, handles: Handles) -> None:
    journal = _journal(job, handles)
    if journal.identity_blocks:
        _take_identity(job.source, handles, journal.identity_blocks)
    work = Work(job.source, handles, job.progress, job.stop)
    finished = frozenset(journal.finished)
    write_ranges(work, finished=finished, note=journal.note)
    _check_copied(job, finished)
    _finish(job, handles, journal)
    journal.remove()


def _check_copied(job: Job, finished: Collection[int]) -> None:
    """See that ranges which this run has not read back are good where it copies from them again.

    The first block and the identity come from the station's plain bytes, which may have rotted.
    """
    start, end = job.fat.blocks if job.fat else (0, 0)
    for number in sorted(finished):
        part = job.source.map.ranges[number]
        is_copied = number == 0 or (part.offset_bytes < end and start < part.end_bytes)
        if is_copied and (damage := job.source.damage_in(part)):
            raise damage


def _finish(job: Job, handles: Handles, journal: Journal | None = None) -> None:
    job.stop.check()
    job.progress.enter("sampling")
    check_samples(job.source, handles)
    job.stop.check()
    job.progress.enter("identity")
    patches = list(job.identity())
    if journal:
        journal.note_identity(each.offset_bytes for each in patches)
        # Before the card is whole: finished and not remembered, it would be written over.
        remember_finished(job.journals, job.source, job.device.size_bytes, patches)
    write_patches(handles, patches)
    flush(handles.writer)
    job.progress.enter("finishing")
    job.stop.begin_last()
    handles.check_medium()
    mark = journal.mark if journal else bytes(BLOCK_BYTES)
    with handing_on(partial(_unboot, handles, mark)):
        write_first_block(job.source, handles)
        handles.check_medium()
        job.stop.finish()


def _unboot(handles: Handles, mark: bytes, reason: BaseException) -> None:
    """Put the mark back: what is not known to be good must not boot. Raises CardError."""
    first = aligned_buffer(BLOCK_BYTES)
    first[:] = mark
    try:
        handles.check_medium()
        write_at(handles.writer, first, 0)
        flush(handles.writer)
    except CardError as error:
        raise CardError(f"{reason}; it may boot now: do not use it as it is") from error


def _take_identity(source: Source, handles: Handles, blocks: Iterable[int]) -> None:
    """Make blocks that may hold an older identity what they are in the image.

    Those in its ranges are written again with them; the seed lies in free space of the FAT too.
    """
    old = [Patch(at, bytes(source.piece(at, BLOCK_BYTES))) for at in blocks]
    write_patches(handles, old)
    flush(handles.writer)


def _journal(job: Job, handles: Handles) -> Journal:
    """Return the journal to go on with, or that of a card which begins anew, wiped and marked.

    A stricter screening than the card has passed overwrites it, so it begins anew as well.
    """
    first = aligned_buffer(BLOCK_BYTES)
    read_at(handles.reader, first, 0)
    size = job.device.size_bytes
    old = find_journal(job.journals, bytes(first), job.source, size)
    if old and is_enough(old.screening, job.screening):
        return old
    job.progress.enter("wiping")
    _wipe(handles, size)
    if job.screening != "none":
        job.progress.enter("screening")
        if job.screening == "quick":
            screen_quick(handles, size, job.progress.screened)
        else:
            screen_full(handles, size, job.progress.screened, job.stop)
    journal = begin_journal(job.journals, job.source, size, job.screening)
    if old and old.identity_blocks:
        journal.note_identity(old.identity_blocks)
    first[:] = journal.mark
    write_at(handles.writer, first, 0)
    flush(handles.writer)
    expect(handles, first, 0)
    if old:
        old.remove()
    return journal


def _wipe(handles: Handles, size_bytes: int) -> None:
    """Overwrite head and tail: no old partition table is left, whatever happens from here on.

    The first block goes alone and first: the kernel may split a longer write and keep no order, and
    a card pulled amid it would still boot what is no longer whole.
    """
    zeros = aligned_buffer(WIPE_BYTES)
    # To the very end: the last sector holds the second header of a GPT. Sizes are whole sectors,
    # of 512 bytes at least, but not always whole blocks.
    tail_start = whole_sectors(max(size_bytes - WIPE_BYTES, 0))
    write_at(handles.writer, zeros[:BLOCK_BYTES], 0)
    flush(handles.writer)
    write_at(handles.writer, zeros, 0)
    write_at(handles.writer, zeros[: size_bytes - tail_start], tail_start)
    flush(handles.writer)


def write_patches(handles: Handles, patches: Iterable[Patch]) -> None:
    """Write what a card has of its own, and read it back. Raises CardError."""
    buffer = aligned_buffer(BLOCK_BYTES)
    handles.check_medium()  # the patches may have been waited for
    for patch in patches:
        if patch.offset_bytes < BLOCK_BYTES:
            raise CardError("the seed would change the card's first block; build the image again")
        buffer[:] = patch.data
        write_at(handles.writer, buffer, patch.offset_bytes)
    for patch in patches:
        buffer[:] = patch.data
        expect(handles, buffer, patch.offset_bytes)


def write_first_block(source: Source, handles: Handles) -> None:
    """Write the block that makes the card boot, and read it back. Raises CardError."""
    length = min(BLOCK_BYTES, source.map.image_bytes)
    first = aligned_buffer(whole_sectors(length))
    source.read_into(first[:length], 0)
    write_at(handles.writer, first, 0)
    flush(handles.writer)
    expect(handles, first, 0)
