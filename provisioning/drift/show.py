"""Shows what differs to people."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from provisioning.drift.differences import Difference
from provisioning.printable import printable

_COLOURS = {"-": "red", "+": "green"}
_KEPT = "\n\t"  # files have them, and a terminal no harm by them


def drift_view(found: Iterable[Difference]) -> RenderableType:
    """Return one row for each difference, and below them the lines that differ."""
    listed = list(found)
    table = Table("node", "what", "where", "how")
    parts: list[RenderableType] = [table]
    for each in listed:
        cells = (each.node, each.kind, each.place, each.words)
        table.add_row(*(escape(printable(cell, keep="\n")) for cell in cells))
        if each.lines:
            title = printable(f"{each.node} {each.place} (- has, + should have)")
            parts.append(Text(title, style="bold"))
            parts += map(_line, each.lines)
    return Group(*parts)


def _line(line: str) -> Text:
    return Text(f"  {printable(line, keep=_KEPT)}", style=_COLOURS.get(line[:1], "dim"))
