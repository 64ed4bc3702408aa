"""Shows a rollout to the one who runs it: the plan before, the waves during, the sum at the end."""

from collections import Counter

from msgspec import Struct
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from provisioning.update.plan import Plan
from provisioning.update.record import Record
from provisioning.update.rollout import FAILURES, STATES, Entry, State, current_wave

_NAMES_MAX = 6
_TROUBLES_MAX = 12
_COLOURS: dict[State, str] = {
    "success": "green",
    "in-progress": "cyan",
    "failed": "red",
    "unreachable": "red",
    "rolled-back": "yellow",
}


class Summary(Struct, frozen=True, kw_only=True):
    """How a rollout stands, for programs."""

    record: str
    releases: dict[str, str]
    wave: str
    states: dict[str, int]
    nodes: dict[str, Entry]
    notes: tuple[str, ...]


def summary_of(record: Record) -> Summary:
    """Return the summary of a record. Raises RecordError when nothing was begun."""
    head = record.begun()
    counts = Counter(entry.state for entry in record.entries.values())
    waves = head.plan.waves
    return Summary(
        record=str(record.file),
        releases=head.releases,
        wave=waves[current_wave(head.plan, record.entries)].name,
        states={state: counts[state] for state in STATES},
        nodes=dict(record.entries),
        notes=tuple(record.notes),
    )


def plan_table(plan: Plan) -> Table:
    """Return the waves with the nodes that are first in each."""
    table = Table("wave", "nodes", "first of them, neighbours apart", title="plan")
    begun = 0
    for wave in plan.waves:
        names = [place.name for place in plan.order[begun : wave.quota]]
        more = f" and {len(names) - _NAMES_MAX} more" if len(names) > _NAMES_MAX else ""
        table.add_row(wave.name, str(len(names)), ", ".join(names[:_NAMES_MAX]) + more)
        begun = wave.quota
    return table


def live_view(record: Record) -> RenderableType:
    """Return how it stands: a row of counts, and whoever is in trouble."""
    summary = summary_of(record)
    counts = Table("wave", *STATES)
    cells = [Text(str(summary.states[state]), style=_COLOURS.get(state, "")) for state in STATES]
    counts.add_row(summary.wave, *cells)
    troubles = [
        (name, entry)
        for name, entry in record.entries.items()
        if entry.state in FAILURES or entry.away
    ]
    lines = [
        Text(f"{name}: {entry.state}: {entry.message}", style=_COLOURS.get(entry.state, ""))
        for name, entry in troubles[:_TROUBLES_MAX]
    ]
    if len(troubles) > _TROUBLES_MAX:
        lines.append(Text(f"and {len(troubles) - _TROUBLES_MAX} more; see {record.file}"))
    return Group(counts, *lines)
