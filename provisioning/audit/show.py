"""Shows the audit log to people."""

from collections.abc import Iterable

from rich.markup import escape
from rich.table import Table

from provisioning.audit.verify import Entry
from provisioning.printable import printable

_NODES_MAX = 4


def audit_table(entries: Iterable[Entry]) -> Table:
    """Return one row for each deed, with what is wrong about it."""
    table = Table("#", "at (UTC)", "who", "did", "to", "ended")
    for entry in entries:
        deed = entry.deed
        named = ", ".join(deed.nodes[:_NODES_MAX])
        more = f" and {len(deed.nodes) - _NODES_MAX} more" if len(deed.nodes) > _NODES_MAX else ""
        ended = _text(deed.outcome) or "[dim]begun[/dim]"
        if entry.problem:
            ended = f"[bold red]{_text(entry.problem)}[/bold red]"
        who = _text(entry.signed_by) or f"[red]{_text(deed.who)}?[/red]"
        did = f"{deed.action} {deed.detail}".strip()
        at = _text(deed.at[:19].replace("T", " "))
        cells = (str(entry.number), at, who, _text(did))
        table.add_row(*cells, _text(named) + more, ended)
    return table


def _text(told: str) -> str:
    """Return for a cell what was done; an outcome holds what a node said, whatever that is."""
    return escape(printable(told))
