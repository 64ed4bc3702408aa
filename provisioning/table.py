"""Draws the fleet as a terminal table, or as JSON for other programs."""

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec
from rich.markup import escape
from rich.table import Table

from provisioning.fleet import NodeView
from provisioning.inventory import Node
from provisioning.printable import printable

_SECONDS_PER_MINUTE = 60
_SECONDS_PER_HOUR = 3600
_SECONDS_PER_DAY = 86_400
_STALE_SECONDS = 60
_HOT_CELSIUS = 80.0  # where a Raspberry Pi begins to throttle
_NOTHING = "[dim]-[/dim]"


def fleet_table(views: Iterable[NodeView], *, live: bool, now: datetime | None = None) -> Table:
    """Return one row for each node; `live` adds what only live messages tell."""
    now = now or datetime.now(UTC)
    table = Table(title=None, expand=False)
    for heading in ("node", "place", "site", "state", "since", "still"):
        table.add_column(heading)
    if live:
        for heading in ("°C", "users", "unsent", "memory", "heard"):
            table.add_column(heading, justify="right")
    table.add_column("agent")
    for view in sorted(views, key=lambda view: view.node):
        table.add_row(*_cells(view, now, live=live))
    return table


def fleet_json(views: Iterable[NodeView]) -> str:
    """Return the fleet as one JSON array."""
    return msgspec.json.encode(sorted(views, key=lambda view: view.node)).decode()


def nodes_table(nodes: Iterable[Node]) -> Table:
    """Return one row for each node of the inventory, in its order."""
    table = Table("node", "place", "site", "address")
    for node in nodes:
        cells = (node.name, node.title, node.site, node.address)
        table.add_row(*(escape(cell) or _NOTHING for cell in cells))
    return table


def nodes_json(nodes: Iterable[Node]) -> str:
    """Return the inventory's nodes as one JSON array."""
    return msgspec.json.encode(list(nodes)).decode()


def _cells(view: NodeView, now: datetime, *, live: bool) -> list[str]:
    state = view.state
    if state is None:
        word = "[yellow]unknown[/yellow]"
    elif state.online:
        word = "[green]online[/green]"
    else:
        word = "[red]offline[/red]"
    if state and state.simulated:
        word += " [dim](simulated)[/dim]"
    cells = [
        _text(view.node),
        _text(state.title) if state else _NOTHING,
        _text(state.site) if state and state.site else _NOTHING,
        word,
        _age(view.state_at, now),
        _age(view.still_at, now, stale_seconds=_STALE_SECONDS),
    ]
    if live:
        cells += _live_cells(view, now)
    return [*cells, _text(state.agent_version) if state and state.agent_version else _NOTHING]


def _text(said: str) -> str:
    """Return what a node said for a cell, where it may mean neither markup nor controls."""
    return escape(printable(said))


def _live_cells(view: NodeView, now: datetime) -> list[str]:
    health, wifi = view.health, view.wifi
    celsius = health.cpu_temperature_celsius if health else None
    unsent = health.outbox_unsent_count if health else None
    memory_bytes = health.agent_memory_bytes if health else None
    return [
        _NOTHING if celsius is None else _warn(f"{celsius:.0f}", bad=celsius >= _HOT_CELSIUS),
        _NOTHING if wifi is None else _warn(str(wifi.stations_count), bad=not wifi.up),
        _NOTHING if unsent is None else str(unsent),
        _NOTHING if memory_bytes is None else f"{memory_bytes / 2**20:.0f} MiB",
        _age(view.heard_at, now, stale_seconds=_STALE_SECONDS),
    ]


def _warn(text: str, *, bad: bool) -> str:
    return f"[red]{text}[/red]" if bad else text


def _age(at: datetime | None, now: datetime, *, stale_seconds: float | None = None) -> str:
    if at is None:
        return _NOTHING
    seconds = max(0.0, (now - at).total_seconds())
    bad = stale_seconds is not None and seconds > stale_seconds
    return _warn(_duration(seconds), bad=bad)


def _duration(seconds: float) -> str:
    if seconds < _SECONDS_PER_MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _SECONDS_PER_HOUR:
        return f"{seconds / _SECONDS_PER_MINUTE:.0f} min"
    if seconds < _SECONDS_PER_DAY:
        return f"{seconds / _SECONDS_PER_HOUR:.0f} h"
    return f"{seconds / _SECONDS_PER_DAY:.0f} d"
