"""Words what differs on a node: between what it should be and what it is; pure."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from msgspec import Struct

from node.install.machine import Standing
from provisioning.update.rollout import Entry

Kind = Literal["settings", "release", "unreachable", "unlisted", "unheard"]
NOBODY = ""
"""Stands as the node of what is told of none: something could not be looked at."""
_DIGITS = 12
_LINES_MAX = 40


class Event(Struct, frozen=True, kw_only=True):
    """What Ansible noted of one task; `diffs` are pairs of before and after."""

    node: str
    what: Literal["changed", "failed", "unreachable"]
    task: str
    place: str = ""
    words: str = ""
    diffs: tuple[tuple[str, str], ...] = ()


class Difference(Struct, frozen=True, kw_only=True):
    """One thing in which a node is not as it should be; `lines` are those of a unified diff."""

    node: str
    kind: Kind
    place: str
    words: str
    lines: tuple[str, ...] = ()


class Rolled(Struct, frozen=True, kw_only=True):
    """What a rollout's record says: the releases by kind of node, and how each node ended."""

    file: str
    releases: Mapping[str, str]
    entries: Mapping[str, Entry]


def of_event(event: Event) -> Difference:
    """Return what an event of the check means to people."""
    if event.what == "unreachable":
        return Difference(node=event.node, kind="unreachable", place="", words=event.words)
    if event.what == "failed":
        words = f"{event.task}: {event.words}"
        return Difference(node=event.node, kind="settings", place=event.place, words=words)
    lines = tuple(line for pair in event.diffs for line in _unified(*pair))[:_LINES_MAX]
    return Difference(
        node=event.node, kind="settings", place=event.place, words=event.task, lines=lines
    )


def of_release(node: str, standing: Standing, rolled: Iterable[Rolled]) -> Iterator[Difference]:
    """Yield how the release of a node differs from what the rollouts, the oldest first, left."""
    kind = f"{standing.platform}/{standing.python}"
    wanted, left, by = "", "", ""
    for each in rolled:
        entry = each.entries.get(node)
        if entry is None or entry.state != "success":
            continue
        if not {kind, "leaving"} & each.releases.keys():
            continue  # was of something else, such as the system
        wanted, left, by = each.releases.get(kind, ""), each.releases.get("leaving", ""), each.file
    has = standing.confirmed
    if (wanted and has != wanted) or (left and has == left):
        should = f"brought {wanted[:_DIGITS]}" if wanted else f"took it back from {left[:_DIGITS]}"
        words = f"has {has[:_DIGITS] or 'no release'}, though {by} {should}"
        yield Difference(node=node, kind="release", place="/opt/simpul/current", words=words)
    if standing.status != "idle":
        words = f"{standing.status} of {standing.release[:_DIGITS]}: {standing.message}"
        yield Difference(node=node, kind="release", place="/opt/simpul/current", words=words)
    if standing.active is False:
        words = "its agent does not run"
        yield Difference(node=node, kind="release", place="simpul-node.service", words=words)


def of_hearing(
    listed: Iterable[str], heard: Iterable[str], *, whole: bool = True
) -> Iterator[Difference]:
    """Yield who speaks to the broker and is not listed, and who is listed and was never born.

    Unless the `whole` was heard nobody can be missed.
    """
    listed, heard = {*listed}, {*heard}
    for name in sorted(heard - listed):
        words = "speaks to the broker, and is not in the inventory"
        yield Difference(node=name, kind="unlisted", place="", words=words)
    if not whole:
        words = "not all that the broker retains came in time; try with a longer --within"
        yield Difference(node=NOBODY, kind="unheard", place="", words=words)
        return
    for name in sorted(listed - heard):
        words = "is in the inventory, and the broker never heard of it"
        yield Difference(node=name, kind="unheard", place="", words=words)


def _unified(before: str, after: str) -> Iterator[str]:
    """Yield the lines in which the node (-) differs from what it should have (+)."""
    for line in difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""):
        if not line.startswith(("---", "+++")):
            yield line
