"""Shows what differs to people."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from provisioning.drift.differences import Difference

_COLOURS = {"-": "red", "+": "green"}


def drift_view(found: Iterable[Difference]) -> RenderableType:
    """Return one row for each difference, and below them the lines that differ."""
    listed = list(found)
    table = Table("node", "what", "where", "how")
    parts: list[RenderableType] = [table]
    for each in listed:
        table.add_row(each.node, each.kind, escape(each.place), escape(each.words))
        if each.lines:
            parts.append(Text(f"{each.node} {each.place} (- has, + should have)", style="bold"))
            parts += [Text(f"  {line}", style=_COLOURS.get(line[:1], "dim")) for line in each.lines]
    return Group(*parts)
