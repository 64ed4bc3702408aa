"""Looks at the fleet from every side: settings by the playbook, releases over SSH, who is heard."""

from collections.abc import Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from provisioning.drift.check import Play, check_nodes
from provisioning.drift.differences import NOBODY, Difference, Rolled, of_hearing, of_release
from provisioning.fleet import Fleet
from provisioning.inventory import Node
from provisioning.listen import RETAINED_SECONDS_MAX, BrokerAccess, line_to
from provisioning.update.errors import NodeError, RecordError, UnreachableError
from provisioning.update.link import Way, connected
from provisioning.update.record import read_record
from provisioning.update.station import Access, ways_of


def differences(
    chosen: Sequence[Node], access: Access, play: Play, rollouts: Path
) -> list[Difference]:
    """Return what differs on the chosen nodes, by name. Raises DriftError, UnreachableError."""
    ways, rolled = ways_of(chosen, access), [*records(rollouts)]
    found = check_nodes(play, [node.name for node in chosen])
    away = {each.node for each in found if each.kind == "unreachable"}
    with ThreadPoolExecutor(max_workers=play.forks) as pool:
        asked = [name for name in ways if name not in away]
        for more in pool.map(lambda name: [*_release(name, ways[name], rolled)], asked):
            found += more
    return sorted(found, key=lambda each: (each.node, each.kind, each.place))


def records(folder: Path) -> Iterator[Rolled]:
    """Yield what the rollouts in `folder` left, the oldest first; their names are their times."""
    for file in sorted(folder.glob("*.jsonl")):
        try:
            told = read_record(file)
            releases = told.begun().releases
        except RecordError:
            continue  # `simpul update --resume` says what is wrong with it
        yield Rolled(file=str(file), releases=releases, entries=told.entries)


def unheard_and_unlisted(
    nodes: Sequence[Node],
    broker: BrokerAccess,
    *,
    only: Container[str] | None = None,
    within_seconds: float = RETAINED_SECONDS_MAX,
) -> list[Difference]:
    """Compare the inventory with whom the broker knows; of `only` these. Raises FleetError."""
    fleet = Fleet()
    with line_to(broker, ("state",), fleet.hear) as line:
        whole = line.settled(within_seconds)
    found = of_hearing((node.name for node in nodes), fleet.nodes, whole=whole)
    return [each for each in found if only is None or each.node in only or each.node == NOBODY]


def _release(name: str, way: Way, rolled: Sequence[Rolled]) -> Iterator[Difference]:
    try:
        with connected(way) as session:
            yield from of_release(name, session.status(), rolled)
    except UnreachableError as error:
        yield Difference(node=name, kind="unreachable", place="", words=str(error))
    except NodeError as error:
        yield Difference(node=name, kind="release", place="/opt/simpul/current", words=str(error))
