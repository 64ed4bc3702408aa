"""Shows the audit log to people."""

from collections.abc import Iterable

from rich.markup import escape
from rich.table import Table

from provisioning.audit.verify import Entry

_NODES_MAX = 4


def audit_table(entries: Iterable[Entry]) -> Table:
    """Return one row for each deed, with what is wrong about it."""
    table = Table("#", "at (UTC)", "who", "did", "to", "ended")
    for entry in entries:
        deed = entry.deed
        named = ", ".join(deed.nodes[:_NODES_MAX])
        more = f" and {len(deed.nodes) - _NODES_MAX} more" if len(deed.nodes) > _NODES_MAX else ""
        ended = escape(deed.outcome) or "[dim]begun[/dim]"
        if entry.problem:
            ended = f"[bold red]{escape(entry.problem)}[/bold red]"
        who = escape(entry.signed_by) or f"[red]{escape(deed.who)}?[/red]"
        did = f"{deed.action} {deed.detail}".strip()
        at = escape(deed.at[:19].replace("T", " "))
        cells = (str(entry.number), at, who, escape(did))
        table.add_row(*cells, escape(named) + more, ended)
    return table
