"""Draws the fleet as a terminal table, or as JSON for other programs."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from provisioning.fleet import NodeView, age_seconds
from provisioning.inventory import Node
from provisioning.printable import printable

_SECONDS_PER_MINUTE = 60
_SECONDS_PER_HOUR = 3600
_SECONDS_PER_DAY = 86_400
_STALE_SECONDS = 60
_HOT_CELSIUS = 80.0  # where a Raspberry Pi begins to throttle
_NOTHING = "[dim]-[/dim]"
_UNSURE = "[red]?[/red]"
_PLAIN = ("node", "place", "site", "state", "since", "still")
_LIVE = ("°C", "users", "unsent", "memory", "heard")
_FIRST_TO_GO = ("agent", "memory", "site", "place", "unsent", "°C", "users")
_OF_WORDS = ("place", "state", "since")  # these may be folded between them
_FOLDED_COLUMNS = 16  # of a place
_EDGE_COLUMNS, _BETWEEN_COLUMNS = 1, 3  # of a table's frame


def fleet_table(
    views: Iterable[NodeView],
    *,
    live: bool,
    now: datetime | None = None,
    columns: int | None = None,
    lost_at: datetime | None = None,
) -> Table:
    """Return one row for each node; `live` adds what only live messages tell.

    Of what does not fit into `columns` the least is left out. Nothing is sure any more when the
    broker was lost, at `lost_at`.
    """
    now = now or datetime.now(UTC)
    headings = (*_PLAIN, *(_LIVE if live else ()), "agent")
    rows = [_cells(view, now, live=live) for view in sorted(views, key=lambda view: view.node)]
    shown = [dict(zip(headings, map(Text.from_markup, cells), strict=True)) for cells in rows]
    table = Table(title=None, expand=False)
    kept = _fitting(headings, shown, columns)
    for heading in kept:
        right = heading in _LIVE
        table.add_column(
            heading, justify="right" if right else "left", no_wrap=heading not in _OF_WORDS
        )
    for row in shown:
        table.add_row(*(_pale(row[heading]) if lost_at else row[heading] for heading in kept))
    if lost_at:
        table.caption = Text(
            f"connection lost since {lost_at.astimezone():%H:%M:%S}; all this is from before",
            style="bold red",
        )
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
        _since(view, now),
        _still(view, now),
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


def _fitting(
    headings: Sequence[str], rows: Sequence[dict[str, Text]], columns: int | None
) -> list[str]:
    """Return the headings of what is shown in a terminal of so many columns."""
    kept = list(headings)
    needed = {
        heading: max(len(heading), *(row[heading].cell_len for row in rows), 0)
        for heading in headings
    }
    needed["place"] = min(needed["place"], _FOLDED_COLUMNS)
    for heading in _FIRST_TO_GO:
        width = _EDGE_COLUMNS + sum(needed[each] + _BETWEEN_COLUMNS for each in kept)
        if columns is None or width <= columns:
            break
        if heading in kept:
            kept.remove(heading)
    return kept


def _pale(text: Text) -> Text:
    """Return the text without its colours, which say how things are."""
    return Text(text.plain, style="dim")


def _since(view: NodeView, now: datetime) -> str:
    if view.state_at is None and view.state_not_before is not None:
        seconds = age_seconds(view.state_not_before, now)
        return _UNSURE if seconds is None else f"at most {_duration(seconds)}"
    return _age(view.state_at, now)


def _still(view: NodeView, now: datetime) -> str:
    if view.still_at is not None and not view.still_clock_synced:
        return _UNSURE
    return _age(view.still_at, now, stale_seconds=_STALE_SECONDS)


def _age(at: datetime | None, now: datetime, *, stale_seconds: float | None = None) -> str:
    if at is None:
        return _NOTHING
    seconds = age_seconds(at, now)
    if seconds is None:
        return _UNSURE
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
