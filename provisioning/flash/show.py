"""Shows cards at work and their verdicts: a table for people, JSON for programs."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from rich import box
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from provisioning.flash.batch import Assignment
from provisioning.flash.choose import Candidate
from provisioning.flash.device import Device

_MIB = 2**20
_BAR_COLUMNS = 12
_COLOURS = {"verified": "green", "stopped": "yellow"}


def live_table(cards: Iterable[Assignment]) -> Table:
    """Return one row for each card at work."""
    table = _table("slot", "device", "node", "phase", "", "MiB/s", "left", "verdict")
    for card in cards:
        progress = card.progress
        bar = ProgressBar(total=1.0, completed=progress.fraction, width=_BAR_COLUMNS)
        table.add_row(
            escape(card.slot),
            card.device.path,
            card.node.name,
            progress.phase,
            bar,
            f"{progress.bytes_per_second / _MIB:.0f}" if progress.written_bytes else "",
            _left(card),
            _verdict(card),
        )
    return table


def final_table(cards: Iterable[Assignment]) -> Table:
    """Return what became of every card."""
    table = _table("slot", "device", "serial", "node", "MiB", "seconds", "MiB/s", "verdict")
    for card in cards:
        progress = card.progress
        table.add_row(
            escape(card.slot),
            card.device.path,
            escape(_end(card.device.serial)),
            card.node.name,
            f"{progress.verified_bytes / _MIB:.0f}",
            f"{progress.seconds:.1f}",
            f"{progress.bytes_per_second / _MIB:.0f}",
            _verdict(card),
        )
    return table


def outcomes_json(cards: Iterable[Assignment], image_sha256: str) -> str:
    """Return what became of every card, as a JSON array."""
    return msgspec.json.encode(
        [
            {
                "node": card.node.name,
                "slot": card.slot,
                "device": card.device.path,
                "serial": card.device.serial,
                "verdict": card.progress.verdict,
                "reason": card.progress.reason,
                "image_sha256": image_sha256,
                "fingerprints": card.fingerprints,
                "verified_bytes": card.progress.verified_bytes,
                "resumed_bytes": card.progress.resumed_bytes,
                "written_seconds": round(card.progress.written_seconds, 3),
                "seconds": round(card.progress.seconds, 3),
            }
            for card in cards
        ]
    ).decode()


def plan_table(chosen: Sequence[tuple[str, str, Device]]) -> Table:
    """Return what is about to be erased: slot, node, device, and what to type."""
    table = _table("slot", "node", "device", "port", "what", "serial", "GiB", "type this")
    for slot, node, device in chosen:
        table.add_row(
            escape(slot),
            node,
            device.path,
            escape(device.port),
            escape(device.model),
            escape(_end(device.serial)),
            f"{device.size_bytes / 2**30:.1f}",
            f"[bold]{escape(device.token)}[/bold]",
        )
    return table


def candidates_table(found: Iterable[Candidate]) -> Table:
    """Return every device, and why it may not be written."""
    table = _table("device", "port", "what", "serial", "GiB", "may it be written?")
    for each in found:
        device = each.device
        reasons = "; ".join(each.refusals)
        table.add_row(
            device.path,
            escape(device.port),
            escape(device.model),
            escape(_end(device.serial)),
            f"{device.size_bytes / 2**30:.1f}",
            f"[dim]no: {escape(reasons)}[/dim]" if reasons else "[green]yes[/green]",
        )
    return table


def candidates_json(found: Iterable[Candidate]) -> str:
    """Return every device as a JSON array."""
    return msgspec.json.encode(
        [{**msgspec.structs.asdict(each.device), "refusals": each.refusals} for each in found]
    ).decode()


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, expand=False, pad_edge=False)
    for heading in headings:
        right = heading in {"MiB", "MiB/s", "seconds", "left", "GiB"}
        # Only what explains may be broken: a name broken in two is misread.
        prose = heading in {"verdict", "what", "may it be written?"}
        table.add_column(heading, justify="right" if right else "left", no_wrap=not prose)
    return table


def _left(card: Assignment) -> str:
    seconds = card.progress.seconds_left
    return "" if seconds is None else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _verdict(card: Assignment) -> str:
    progress = card.progress
    if not progress.verdict:
        return ""
    colour = _COLOURS.get(progress.verdict, "red")
    reason = f": {escape(progress.reason)}" if progress.reason else ""
    return f"[{colour}]{progress.verdict}[/{colour}]{reason}"


def _end(serial: str) -> str:
    """Return a serial as it fits: of a file (loop devices) only the name."""
    return Path(serial).name
